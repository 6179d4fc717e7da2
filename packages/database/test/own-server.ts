import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startPostgres, type PostgresServer } from '@wattle/servers'

export type OwnServer = {
  readonly url: string
  /** kill -9 of the server and with it of every connection. */
  kill(): Promise<void>
  start(): Promise<void>
  /** Every process of the server hangs: connections stay open, new ones are accepted by the kernel only. */
  freeze(): Promise<void>
  thaw(): void
  stop(): Promise<void>
}

/** A PostgreSQL that only this test file uses, and may therefore hurt. */
export async function startOwnServer(): Promise<OwnServer> {
  const directory = mkdtempSync(join(tmpdir(), 'wattle-database-test-'))
  const launch = () => startPostgres({ directory, durable: false, dieWithParent: true })
  let server: PostgresServer = await launch()
  let frozen: number[] = []
  const signal = (pids: number[], name: NodeJS.Signals) => {
    for (const pid of pids) {
      try {
        process.kill(pid, name)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
      }
    }
  }
  const thaw = () => {
    signal(frozen, 'SIGCONT')
    frozen = []
  }
  return {
    url: server.url(),
    async kill() {
      server.kill('SIGKILL')
      await server.exited
    },
    async start() {
      server = await launch()
    },
    async freeze() {
      const rows = await server.query('select pid from pg_stat_activity')
      frozen = [server.pid, ...rows.map((row) => Number(row['pid']))]
      signal(frozen, 'SIGSTOP')
    },
    thaw,
    async stop() {
      thaw()
      await server.stop()
      rmSync(directory, { recursive: true, force: true })
      rmSync(server.socketDirectory, { recursive: true, force: true })
    },
  }
}
