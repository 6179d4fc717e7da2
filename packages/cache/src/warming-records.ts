import type { Space } from './space.ts'
import type { WarmingRun } from './warming-run.ts'

const mostRecords = 20
const recordsMs = 30 * 86_400_000
/** Longer than a run may be silent. */
const presentMs = 10_000

/**
 * What the runs of a job did, in Redis, so that every process can show it: the last twenty, and the present one. None of
 * it is needed for anything but to be looked at and to know when a job is due; so nothing here rejects.
 */
export function createRecords({ keys, redis }: Space, job: string) {
  const past = keys.key('warming', job, 'runs')
  const present = keys.key('warming', job, 'present')
  const { client } = redis
  return {
    async show(run: WarmingRun): Promise<void> {
      await client.set(present, JSON.stringify(run), 'PX', presentMs).catch(() => {})
    },
    async add(run: WarmingRun): Promise<void> {
      try {
        await client.unlink(present)
        await client.lpush(past, JSON.stringify(run))
        await client.ltrim(past, 0, mostRecords - 1)
        await client.pexpire(past, recordsMs)
      } catch {
        // It will look as if it had not run, and run again.
      }
    },
    /** The run under way in some process of the fleet. */
    async present(): Promise<WarmingRun | undefined> {
      return parse(await client.get(present).catch(() => null))
    },
    /** The runs that have ended, newest first. */
    async past(most = mostRecords): Promise<WarmingRun[]> {
      const texts = await client.lrange(past, 0, most - 1).catch(() => [])
      return texts.map(parse).filter((run) => run !== undefined)
    },
  }
}

function parse(text: string | null): WarmingRun | undefined {
  return text === null ? undefined : (JSON.parse(text) as WarmingRun)
}
