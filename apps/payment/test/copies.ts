import { spawn, type ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url))

/** A copy of the service as a process of its own, that can be killed, frozen and started again. */
export type Copy = {
  /** Where it listens; undefined while it does not. */
  readonly address: string | undefined
  start(): Promise<void>
  kill(): Promise<void>
  freeze(): void
  thaw(): void
  /** Lets it finish. Resolves to its exit code. */
  stop(): Promise<number | null>
}

/** `told` gets each line that it logs as fatal. */
export function createCopy(env: Record<string, string>, told: (line: string) => void): Copy {
  let child: ChildProcess | undefined
  let address: string | undefined

  async function start(): Promise<void> {
    const listening = Promise.withResolvers<void>()
    const started = spawn(process.execPath, [main], {
      env: { PATH: process.env['PATH'] ?? '', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    child = started
    const errors: string[] = []
    createInterface({ input: started.stderr }).on('line', (line) => errors.push(line))
    createInterface({ input: started.stdout }).on('line', (line) => {
      const found = /"msg":"listening on (http[^"]+)"/.exec(line)
      if (found && child === started) {
        address = found[1]
        listening.resolve()
      }
      if (/"level":"fatal"/.test(line)) told(line)
    })
    started.on('exit', (code, signal) => {
      if (child === started) address = undefined
      listening.reject(new Error(`ended with ${code ?? signal}: ${errors.join('\n')}`))
    })
    await listening.promise
  }

  const ended = (process: ChildProcess) =>
    process.exitCode !== null || process.signalCode !== null
      ? Promise.resolve(process.exitCode)
      : new Promise<number | null>((resolve) => process.on('exit', resolve))

  return {
    get address() {
      return address
    },
    start,
    async kill() {
      address = undefined
      child?.kill('SIGKILL')
      if (child) await ended(child)
    },
    freeze: () => void child?.kill('SIGSTOP'),
    thaw: () => void child?.kill('SIGCONT'),
    async stop() {
      child?.kill('SIGCONT')
      child?.kill('SIGTERM')
      return child ? ended(child) : null
    },
  }
}
