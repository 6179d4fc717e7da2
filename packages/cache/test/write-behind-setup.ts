import { connectRedis, keySpace, type RedisConnection } from '@wattle/redis'
import { eventually, startRedis, type TestRedis } from '@wattle/testkit'
import type { Registry } from 'prom-client'
import { expect } from 'vitest'
import type {
  Cache,
  WriteBehindChange,
  Key,
  Kind,
  WriteBehind,
  WriteBehindOptions,
} from '../src/index.ts'
import { test as base } from './setup.ts'

export type Row = { id: string; amount: number }
export const row = (id: string, amount: number): Row => ({ id, amount })

/** The keys of these tests are texts. */
export const textOf = (key: Key): string => key as string

/** A source that notes what is written to it, and when it is told to, refuses or holds it. */
export function createSource() {
  const source = {
    rows: new Map<string, Row | undefined>(),
    /** Keys of each batch that was written. */
    batches: [] as string[][],
    versions: [] as number[],
    loads: 0,
    /** Runs before a batch is written. */
    before: async (
      _changes: readonly WriteBehindChange<Row>[],
      _signal: AbortSignal,
    ): Promise<void> => {},
    load: async (id: string): Promise<Row> => {
      source.loads++
      return source.rows.get(id) ?? row(id, 0)
    },
    write: async (
      changes: readonly WriteBehindChange<Row>[],
      { signal }: { signal: AbortSignal },
    ): Promise<void> => {
      await source.before(changes, signal)
      source.batches.push(changes.map(({ key }) => textOf(key)))
      for (const { key, value, version } of changes) {
        source.rows.set(textOf(key), value)
        source.versions.push(version)
      }
    },
  }
  return source
}

export type Source = ReturnType<typeof createSource>

type Opened = {
  kind: Kind<Row>
  writes: WriteBehind<Row>
  cache: Cache
  registry: Registry
  state: RedisConnection
  /** The key of this part of it in `state`. */
  key(part: 'stream' | 'pending' | 'dead'): string
  get(id: string): Promise<Row>
}

export const test = base.extend<{
  stateServer: TestRedis
  source: Source
  /** A process with a kind that is written behind; all of one test share namespace, source, and where nothing is said `state`. */
  writer: (options?: Partial<WriteBehindOptions<Row>>, stateUrl?: string) => Promise<Opened>
}>({
  stateServer: [
    async ({}, use) => {
      await using server = await startRedis({ group: 'state' })
      await use(server)
    },
    { scope: 'file' },
  ],
  source: async ({}, use) => use(createSource()),
  writer: async ({ open, stateServer, source }, use) => {
    const opened: Opened[] = []
    await use(async (options, stateUrl = stateServer.url) => {
      const { cache, redis, registry } = await open()
      const state = connectRedis({ url: stateUrl, name: 'state' })
      await state.whenReady(5_000)
      const kind = cache.kind<Row>('meter', { ttl: '1m' })
      const writes = cache.writeBehind(kind, {
        redis: state,
        name: 'meters',
        write: source.write,
        everyMs: 20,
        takeOverAfterMs: 1_000,
        ...options,
      })
      const get = (id: string) => kind.getOrSet(id, () => source.load(id))
      const keys = keySpace({ environment: 'test', service: redis.name })
      const key = (part: string) => keys.key('writes', 'meters', part)
      const one = { kind, writes, cache, registry, state, key, get }
      opened.push(one)
      return one
    })
    await Promise.all(
      opened.map(async ({ writes, state }) => {
        await writes.stop({ withinMs: 0 })
        await state.close()
      }),
    )
  },
})

/** A source that stays where it is until the test lets it go on. */
export function gate() {
  const { promise, resolve } = Promise.withResolvers<void>()
  return { pass: () => promise, open: () => resolve() }
}

/** From now on a write begins and does not end before it is told to; its signal is noted. */
export function holdWrites(source: Source) {
  const [begun, held] = [gate(), gate()]
  const holding = { begun: begun.pass, open: held.open, aborted: false }
  source.before = (_changes, signal) => {
    signal.addEventListener('abort', () => (holding.aborted = true))
    begun.open()
    return held.pass()
  }
  return holding
}

/** From now on writes end as they come. */
export const endWrites = (source: Source): void => void (source.before = async () => {})

export const soon = <T>(check: () => T | Promise<T>) => eventually(check, { withinMs: 30_000 })

export async function expectNothingWaits({ writes }: { writes: WriteBehind<Row> }): Promise<void> {
  await soon(async () => expect(await writes.backlog()).toMatchObject({ changes: 0, keys: 0 }))
}
