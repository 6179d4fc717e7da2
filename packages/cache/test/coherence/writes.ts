import { setTimeout as wait } from 'node:timers/promises'
import type { Random } from '@wattle/testkit'
import type { Features } from './features/open.ts'
import type { Invalidation } from './history.ts'
import type { WorkerSettings } from './messages.ts'
import type { Plan, Value } from './plan.ts'
import type { createRecorder } from './recorder.ts'
import type { Source } from './source.ts'
import type { Outcome, Subject } from './subject.ts'

export type Written = {
  version: number
  outcome: Invalidation['outcome']
  token: string | undefined
}

/** The ways to write a row, each with what it promises to those who read after it. */
export function createWrites({
  settings: { outbox },
  plan: { kindOf },
  subject,
  source,
  recorder,
  features,
  committed,
  random,
}: {
  settings: WorkerSettings
  plan: Plan
  subject: Subject
  source: Source
  recorder: ReturnType<typeof createRecorder>
  features: Features
  /** Right after each commit. */
  committed: (value: Value) => Value
  random: Random
}) {
  type Done = Outcome & { value: Value }
  const { track } = recorder
  const commit = async (row: number, token?: number) =>
    committed(await source.write(row, { token }))

  /** A commit, and the invalidation by the way of its kind; together with the commit where the process has an outbox. */
  async function plainly(row: number): Promise<Done> {
    if (outbox) return withOutbox(row)
    switch (kindOf(row).way) {
      case 'wrapped':
        return track('a write that evicts', () => subject.save(row, () => commit(row)))
      case 'update':
        return through(row)
      case 'tag':
      case 'valueTag':
      case 'pattern':
      case 'generation':
        // Beside those who write and invalidate by another way: what they wrote last must not be put back.
        return random.chance(0.3) ? through(row) : invalidated(await commit(row))
      default:
        return invalidated(await commit(row))
    }
  }

  const through = (row: number) =>
    track('update', () =>
      subject.update(row, async () => {
        const value = await commit(row)
        // The answer of the source takes its time, in which others write.
        if (random.chance(0.5)) await wait(random.below(25))
        return value
      }),
    )

  async function invalidated(value: Value): Promise<Done> {
    return { value, ...(await track('invalidate', () => subject.invalidate(value))) }
  }

  const withOutbox = (row: number, token?: number) =>
    track('write with the outbox', () =>
      subject.writeWithOutbox(async (also) =>
        committed(await source.writeWith(row, also, { token })),
      ),
    )

  async function locked(row: number): Promise<Done | undefined> {
    let done: Done | undefined
    const value = await track('write under a lock', async () =>
      features.writeLocked(row, async (token) => {
        if (!outbox) return commit(row, token)
        done = await withOutbox(row, token)
        return done.value
      }),
    )
    return done ?? (value && invalidated(value))
  }

  async function putBehind(row: number): Promise<Written | undefined> {
    const { value, outcome, token } = await track('put', () => features.put(row))
    return { version: value, outcome, token }
  }

  /** Undefined where nothing was written. */
  return async function write(row: number): Promise<Written | undefined> {
    const { way } = kindOf(row)
    if (way === 'behind') return putBehind(row)
    const done = await (way === 'locked' ? locked(row) : plainly(row))
    if (!done) return undefined
    recorder.invalidated(row, done.value.version, done.outcome)
    return { version: done.value.version, outcome: done.outcome, token: done.token }
  }
}
