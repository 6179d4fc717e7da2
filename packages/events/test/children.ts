import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export type Child = {
  /** What it said last. */
  readonly state: string
  kill(signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): void
  /** Resolves when it is gone. */
  readonly exited: Promise<void>
}

/** Processes of one test. `endAll` leaves none behind. */
export function childProcesses() {
  const children = new Set<Child>()
  return {
    start(name: 'relay-process' | 'consumer-process', settings: object): Child {
      const file = fileURLToPath(new URL(`processes/${name}.ts`, import.meta.url))
      const child = spawn(process.execPath, [file], {
        env: { ...process.env, NODE_OPTIONS: '', SETTINGS: JSON.stringify(settings) },
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      let state = ''
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        state = text.trim().split('\n').at(-1) ?? state
      })
      const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
      const started: Child = {
        get state() {
          return state
        },
        kill: (signal) => void child.kill(signal),
        exited,
      }
      children.add(started)
      void exited.then(() => children.delete(started))
      return started
    },
    async endAll(): Promise<void> {
      const all = [...children]
      for (const child of all) child.kill('SIGKILL')
      await Promise.all(all.map((child) => child.exited))
    },
  }
}
