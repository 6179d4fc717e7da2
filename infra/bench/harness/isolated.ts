import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** An object in a process of its own: its methods are called as here, and their arguments and results are copied. */
export type Isolated<T> = {
  readonly [M in keyof T]: T[M] extends (...args: infer A) => infer R
    ? (...args: A) => Promise<Awaited<R>>
    : never
}

/** Ends the process. Registered objects are not asked; whoever wants a farewell calls it before. */
export type Ending = { end(): Promise<void> }

export type Question = { id: number; method: string; args: unknown[] }
export type Answer = { id: number; result?: unknown; error?: string }

/** A library that never answers must not stop the others from being measured. */
const patienceMs = 120_000

/**
 * Runs `open(setting)` of a module in a Node process of its own and gives access to the object that it resolves with,
 * or undefined if it resolves with nothing. One process for each variant: code that several variants share is then
 * compiled for one of them only, and no variant pays for another's garbage.
 */
export async function isolate<T extends object>(
  module: URL,
  setting: unknown,
  { execArgv = [] }: { execArgv?: string[] } = {},
): Promise<(Isolated<T> & Ending) | undefined> {
  const child = fork(fileURLToPath(new URL('isolated-process.ts', import.meta.url)), {
    serialization: 'advanced',
    execArgv: [...process.execArgv, ...execArgv],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const waiting = new Map<number, PromiseWithResolvers<unknown>>()
  let lastId = 0
  child.on('message', ({ id, result, error }: Answer) => {
    const answer = waiting.get(id)
    waiting.delete(id)
    if (error === undefined) answer?.resolve(result)
    else answer?.reject(new Error(error))
  })
  const exited = new Promise<void>((resolve) => {
    child.once('exit', (code, signal) => {
      const gone = new Error(`the process of a benchmark ended (${signal ?? code})`)
      for (const answer of waiting.values()) answer.reject(gone)
      waiting.clear()
      resolve()
    })
  })
  const call = (method: string, args: unknown[]): Promise<unknown> => {
    const answer = Promise.withResolvers<unknown>()
    const question: Question = { id: ++lastId, method, args }
    waiting.set(question.id, answer)
    const patience = setTimeout(() => {
      answer.reject(new Error(`${method} took more than ${patienceMs / 1000} s`))
    }, patienceMs)
    const settle = () => clearTimeout(patience)
    answer.promise.then(settle, settle)
    child.send(question, (error) => {
      if (error) answer.reject(error)
    })
    return answer.promise
  }
  const end = async () => {
    if (child.connected) child.disconnect()
    const force = setTimeout(() => child.kill('SIGKILL'), 2_000)
    await exited
    clearTimeout(force)
  }
  try {
    const methods = (await call('open', [module.href, setting])) as string[] | undefined
    if (methods) {
      const remote = methods.map((name) => [name, (...args: unknown[]) => call(name, args)])
      return { ...Object.fromEntries(remote), end } as Isolated<T> & Ending
    }
  } catch (error) {
    await end()
    throw error
  }
  await end()
  return undefined
}
