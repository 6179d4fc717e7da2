import { fork, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { eventually } from '@wattle/testkit'
import { expect } from 'vitest'
import type { Answer, Order } from './member.ts'

const program = fileURLToPath(new URL('./member.ts', import.meta.url))

type OrderOf<Doing> = Extract<Order, { do: Doing }>

/** Processes with a cache of the same service, which the test commands. */
export async function startFleet(url: string, service: string, size: number) {
  const began: { member: number; key: string }[] = []
  const members = Array.from({ length: size }, (_, member) => {
    const child = fork(program, [url, service], { execArgv: [], stdio: 'inherit' })
    return startMember(child, (key) => began.push({ member, key }))
  })
  await Promise.all(
    members.map((member) =>
      eventually(async () => expect(await member.ask({ do: 'synchronized' })).toBe(true), {
        withinMs: 15_000,
      }),
    ),
  )
  return {
    members,
    /** Loads that began, by whom. */
    began,
    [Symbol.asyncDispose]: async () => {
      await Promise.all(members.map((member) => member.end()))
    },
  }
}

function startMember(child: ChildProcess, onBegan: (key: string) => void) {
  const open = new Map<number, (answer: { value?: unknown; error?: string }) => void>()
  let at = 0
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  child.on('message', (answer: Answer) => {
    if ('began' in answer) onBegan(answer.began)
    else open.get(answer.at)?.(answer)
  })
  return {
    /** What it answers; rejects with its error. */
    ask(order: Omit<OrderOf<'read'>, 'at'> | Omit<OrderOf<'tier'>, 'at'> | { do: 'synchronized' }) {
      return new Promise<unknown>((resolve, reject) => {
        const mine = at++
        open.set(mine, ({ value, error }) => {
          open.delete(mine)
          if (error === undefined) resolve(value)
          else reject(new Error(error))
        })
        child.send({ ...order, at: mine })
      })
    },
    freeze: () => child.kill('SIGSTOP'),
    thaw: () => child.kill('SIGCONT'),
    async end() {
      child.kill('SIGKILL')
      await gone
    },
  }
}
