import type { TestRedis } from '@wattle/testkit'
import { isolate, type Ending, type Isolated } from '../../harness/isolated.ts'
import type { Running, Took, Variant } from '../../harness/measure.ts'
import type { Goal, Row } from '../../harness/row.ts'
import { isWanted, type SuiteOptions } from '../../harness/suite.ts'
import type { ProcessSetting, SubjectProcess } from './subject-process.ts'
import { ours, type SubjectName } from './subjects.ts'

/** What the scenarios of the suite share: the server, the options, and processes with one cache each. */
export type Bench = {
  redis: TestRedis
  options: SuiteOptions
}

export type Remote = Isolated<SubjectProcess> & Ending

export type Need = Partial<Omit<ProcessSetting, 'subject' | 'url'>> & { execArgv?: string[] }

let lastPrefix = 0

/** A prefix that no cache has yet, made of letters and digits only. */
export const newPrefix = (): string => `bench${++lastPrefix}`

/** Starts a cache in a process of its own; undefined where the library has no such thing. */
export async function startSubject(
  { redis }: Bench,
  subject: SubjectName,
  { execArgv, ...need }: Need,
): Promise<Remote | undefined> {
  const setting: ProcessSetting = {
    subject,
    url: redis.url,
    prefix: newPrefix(),
    tiers: 'both',
    maxEntries: 200_000,
    tagged: false,
    pipelining: true,
    loader: 'kilobyte',
    ...need,
  }
  const module = new URL('subject-process.ts', import.meta.url)
  return isolate<SubjectProcess>(module, setting, execArgv ? { execArgv } : {})
}

/** Says good-bye and ends the process. */
export async function stopSubject(remote: Remote): Promise<void> {
  await remote.close().catch(() => undefined)
  await remote.end()
}

export const isOurs = (subject: SubjectName): boolean => ours.includes(subject)

/** A variant for `sideBySide`: prepares its cache, then repeats one operation in it. */
export function variantOf(
  bench: Bench,
  of: {
    subject: SubjectName
    name?: string
    goal?: Goal | undefined
    need: Need
    prepare?: (remote: Remote) => Promise<unknown>
    /** Performs it so many times; undefined where there is no such operation. */
    run: (remote: Remote, times: number) => Promise<Took | undefined>
  },
): Variant {
  const { subject, name = subject, goal, need, prepare, run } = of
  return {
    name,
    ours: isOurs(subject),
    goal,
    async start(): Promise<Running | undefined> {
      const remote = await startSubject(bench, subject, need)
      if (!remote) return undefined
      const stop = () => stopSubject(remote)
      try {
        await prepare?.(remote)
        if ((await run(remote, 1)) !== undefined) {
          return { run: async (times) => (await run(remote, times)) ?? Number.NaN, stop }
        }
      } catch (error) {
        await stop()
        throw error
      }
      await stop()
      return undefined
    },
  }
}

/** Runs a group if it was asked for, on an empty server. */
export async function group(
  { redis, options }: Bench,
  name: string,
  measure: () => Promise<Row[]>,
): Promise<Row[]> {
  if (!isWanted(options, name)) return []
  const rows = await measure()
  await redis.client().flushall()
  return rows
}
