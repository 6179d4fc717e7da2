import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const apps = fileURLToPath(new URL('../..', import.meta.url))

/** A service as its own process, as in production: `node src/main.ts` with an environment. It takes any free port. */
export async function startProcess(name: string, env: Record<string, string>) {
  const child = spawn(process.execPath, [`${apps}/${name}/src/main.ts`], {
    env: { WATTLE_ENV: 'test', WATTLE_SERVICE_PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const endWithTests = () => void child.kill('SIGKILL')
  process.once('exit', endWithTests)
  child.once('exit', () => process.off('exit', endWithTests))
  let errors = ''
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()))
  const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, errors }))
  const listening = Promise.withResolvers<string>()
  createInterface(child.stdout).on('line', (line) => {
    const address = /listening on (http:[^\s"]+)/.exec(line)?.[1]
    if (address !== undefined) listening.resolve(address)
  })
  const failed = ended.then(({ code }) => {
    throw new Error(`${name} ended with ${code} before it listened: ${errors}`)
  })
  failed.catch(() => undefined)

  async function stop(signal: NodeJS.Signals = 'SIGTERM') {
    child.kill(signal)
    return ended
  }
  return { ended, stop, url: () => Promise.race([listening.promise, failed]) }
}
