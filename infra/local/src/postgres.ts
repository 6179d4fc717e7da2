import {
  readProcessRecord,
  startPostgres as startServer,
  stopRecorded,
  writeProcessRecord,
  type PostgresServer,
} from '@wattle/servers'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Home } from './home.ts'
import { keepRunning } from './keep-running.ts'
import { boundLog } from './log-file.ts'
import type { Output } from './output.ts'

export type Postgres = {
  readonly server: PostgresServer
  /** Starts it again when it ends, until the signal aborts. */
  supervise: (signal: AbortSignal) => void
  stop: () => Promise<void>
}

const recordFile = (home: Home) => join(home.run, 'postgres.json')
/** There while a start is under way: a server may then run that has no record yet. */
const startingFile = (home: Home) => join(home.run, 'postgres-starting')

/** Starts the local PostgreSQL, or takes over the one an earlier stack left running on the same data. */
export async function startPostgres(options: {
  home: Home
  output: Output
  fresh: boolean
}): Promise<Postgres> {
  const { home, output, fresh } = options
  let launched = launch(home, output, fresh)
  let server = await launched
  return {
    get server() {
      return server
    },
    supervise(signal) {
      void keepRunning({
        name: 'PostgreSQL',
        ended: async () => {
          await server.exited
          return 'ended'
        },
        start: async () => {
          launched = launch(home, output, false)
          server = await launched
        },
        signal,
        output,
      })
    },
    async stop() {
      const last = await launched.catch(() => server)
      await last.stop()
      rmSync(recordFile(home), { force: true })
      boundLog(last.logFile)
    },
  }
}

async function launch(home: Home, output: Output, fresh: boolean): Promise<PostgresServer> {
  writeFileSync(startingFile(home), '')
  const log = (line: string) => output.say(line)
  const server = await startServer({ directory: home.postgres, fresh, log })
  try {
    writeProcessRecord(recordFile(home), server.pid)
    rmSync(startingFile(home), { force: true })
  } catch (error) {
    // Without a record nobody would find it again.
    await server.stop()
    throw error
  }
  return server
}

/** Stops a PostgreSQL that an earlier stack left running on this data; returns whether there was one. */
export async function stopLeftPostgres(home: Home): Promise<boolean> {
  const wasRunning = readProcessRecord(recordFile(home)) !== undefined
  // SIGINT is its fast shutdown: sessions end, everything is written down.
  if (wasRunning) await stopRecorded(recordFile(home), { signal: 'SIGINT', withinMs: 20_000 })
  if (wasRunning || !existsSync(startingFile(home))) return wasRunning
  let wasAdopted = false
  if (mayRunWithoutRecord(home)) {
    // Only a start can tell what an interrupted one left behind: it takes that over.
    const server = await startServer({ directory: home.postgres })
    await server.stop()
    wasAdopted = server.adopted
  }
  rmSync(startingFile(home), { force: true })
  return wasAdopted
}

/** The data may lie elsewhere, where PostgreSQL's account cannot enter this folder: then it cannot be told from here. */
function mayRunWithoutRecord(home: Home): boolean {
  const at = (...names: string[]) => existsSync(join(home.postgres, ...names))
  return at('data') ? at('data', 'postmaster.pid') : !at('data.new')
}
