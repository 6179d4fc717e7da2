import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { clockOrigin, originMs } from './clock.ts'
import type { Batch, FromWorker, ToWorker, WorkerSettings } from './messages.ts'

const file = fileURLToPath(new URL('worker.ts', import.meta.url))

export type WorkerProcess = Awaited<ReturnType<typeof startWorker>>

/** Starts one process of a run; resolves when its cache is open. */
export async function startWorker(
  settings: WorkerSettings,
  { onBatch, onToken }: { onBatch(batch: Batch): void; onToken(token: ToWorker): void },
) {
  const child = fork(file, {
    serialization: 'advanced',
    execArgv: [],
    env: {
      ...process.env,
      NODE_OPTIONS: '',
      SETTINGS: JSON.stringify(settings),
      [clockOrigin]: String(originMs),
    },
  })
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const waiting = new Map<FromWorker['type'], ((message: FromWorker) => void)[]>()
  let last: Batch | undefined
  let alive = true
  void exited.then(() => (alive = false))

  child.on('message', (message: FromWorker) => {
    if (message.type === 'batch') onBatch((last = message))
    if (message.type === 'token') onToken(message)
    for (const resolve of waiting.get(message.type)?.splice(0) ?? []) resolve(message)
  })

  function next<T extends FromWorker['type']>(type: T): Promise<FromWorker & { type: T }> {
    return new Promise((resolve, reject) => {
      const resolvers = waiting.get(type) ?? []
      waiting.set(type, resolvers)
      resolvers.push((message) => resolve(message as FromWorker & { type: T }))
      void exited.then(() =>
        reject(new Error(`process ${settings.process} ended before it was "${type}"`)),
      )
    })
  }

  // One that is being killed may be gone before it is known to be: then nobody is told.
  const tell = (message: ToWorker) =>
    void (alive && child.connected && child.send(message, () => {}))
  const worker = {
    process: settings.process,
    settings,
    exited,
    get last() {
      return last
    },
    tell,
    async pause(): Promise<void> {
      const paused = next('paused')
      tell({ type: 'pause' })
      await paused
    },
    async audit(): Promise<FromWorker & { type: 'audited' }> {
      const audited = next('audited')
      tell({ type: 'audit' })
      return audited
    },
    signal: (signal: 'SIGSTOP' | 'SIGCONT' | 'SIGKILL') => void child.kill(signal),
    async close(): Promise<void> {
      tell({ type: 'close' })
      const timer = setTimeout(() => child.kill('SIGKILL'), 5_000)
      await exited
      clearTimeout(timer)
    },
  }
  await next('ready')
  return worker
}
