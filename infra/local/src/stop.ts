import { sendSignal } from '@wattle/servers'
import { setTimeout as delay } from 'node:timers/promises'
import { acquireLock, lockHolder } from '../bootstrap/lock.mjs'
import { openHome } from './home.ts'
import { stopLeftovers } from './leftovers.ts'

const withinMs = 40_000

/** `npm run stop`: ends the stack of this home, from any terminal. Resolves with the exit code. */
export async function stopCommand({ env }: { env: NodeJS.ProcessEnv }): Promise<number> {
  const say = (text: string) => process.stdout.write(`${text}\n`)
  const home = openHome(env)
  const holder = lockHolder(home.lock)
  if (holder) {
    say(`Stopping the stack of process ${holder.pid} …`)
    sendSignal(holder, 'SIGTERM')
    sendSignal(holder, 'SIGCONT')
    const deadline = Date.now() + withinMs
    while (lockHolder(home.lock)?.pid === holder.pid) {
      if (Date.now() > deadline) {
        say(`It did not stop within ${withinMs / 1000} s; it is killed.`)
        sendSignal(holder, 'SIGKILL')
      }
      await delay(50)
    }
  }
  // What a killed supervisor could not stop itself. The lock keeps a new start from being taken for a leftover.
  const lock = await acquireLock(home.lock, { note: 'npm run stop' })
  if (!lock.acquired) {
    say(`Another stack was started meanwhile (process ${lock.holder.pid}); it is left alone.`)
    return 1
  }
  try {
    const left = await stopLeftovers(home)
    if (left) say(`Stopped what was left running: ${left}.`)
    say(holder || left ? 'Everything is stopped.' : 'Nothing is running.')
    return 0
  } finally {
    lock.release()
  }
}
