import { setTimeout as delay } from 'node:timers/promises'
import { acquireLock, lockHolder } from '../bootstrap/lock.mjs'
import { isAlive, type ProcessIdentity } from '../bootstrap/processes.mjs'
import { openHome } from './home.ts'
import { stopLeftovers } from './leftovers.ts'
import { Problem } from './problem.ts'

const withinMs = 40_000

/** `npm run stop`: ends the stack of this home, from any terminal. Resolves with the exit code. */
export async function stopCommand({ env }: { env: NodeJS.ProcessEnv }): Promise<number> {
  const say = (text: string) => process.stdout.write(`${text}\n`)
  const home = openHome(env)
  const holder = lockHolder(home.lock)
  if (holder) {
    say(`Stopping the stack of process ${holder.pid} …`)
    askToStop(holder.pid)
    if (!(await isGone(holder, withinMs))) {
      say(`It did not stop within ${withinMs / 1000} s; it is killed.`)
      process.kill(holder.pid, 'SIGKILL')
      await isGone(holder, 5_000)
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

function askToStop(pid: number): void {
  try {
    process.kill(pid, 'SIGTERM')
    // A suspended one would take the request only when it goes on.
    process.kill(pid, 'SIGCONT')
  } catch (error) {
    // Gone by now is as good.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return
    throw new Problem(`The stack (process ${pid}) belongs to another user, who has to stop it.`, {
      cause: error,
    })
  }
}

async function isGone(identity: ProcessIdentity, withinMs: number): Promise<boolean> {
  const deadline = Date.now() + withinMs
  while (isAlive(identity)) {
    if (Date.now() > deadline) return false
    await delay(25)
  }
  return true
}
