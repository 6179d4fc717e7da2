import type { RedisProcess } from '@wattle/servers'

/** A server that can be hurt. */
export interface TestServer {
  readonly host: string
  readonly port: number
  readonly pid: number
  /** kill -9; resolves when the process is gone. */
  kill(): Promise<void>
  /** Starts it again on the same port, after ending it if it still runs. */
  restart(): Promise<void>
  /** It hangs: connections stay open and are even accepted, nothing answers. */
  freeze(): void
  thaw(): void
  stop(): Promise<void>
}

/** A server on a port, and how to start it anew there. */
export async function controlled(
  start: () => Promise<RedisProcess>,
  started?: RedisProcess,
): Promise<TestServer> {
  let server = started ?? (await start())
  return {
    host: '127.0.0.1',
    port: server.port,
    get pid() {
      return server.pid
    },
    async kill() {
      server.kill('SIGKILL')
      await server.exited
    },
    async restart() {
      await server.stop()
      server = await start()
    },
    freeze: () => void server.kill('SIGSTOP'),
    thaw: () => void server.kill('SIGCONT'),
    stop: async () => void (await server.stop()),
  }
}
