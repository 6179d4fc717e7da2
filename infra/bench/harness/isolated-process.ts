import type { Answer, Question } from './isolated.ts'

/** The other side of `isolate`: opens one object and calls its methods as it is told, until the channel closes. */

type Methods = Record<string, (...args: unknown[]) => unknown>

let opened: Methods | undefined

async function open(module: string, setting: unknown): Promise<string[] | undefined> {
  const { open: make } = (await import(module)) as {
    open: (setting: unknown) => Promise<Methods | undefined>
  }
  opened = await make(setting)
  return opened && Object.keys(opened).filter((name) => typeof opened?.[name] === 'function')
}

async function answer({ id, method, args }: Question): Promise<Answer> {
  try {
    const [module, setting] = args
    const result =
      method === 'open' ? await open(String(module), setting) : await opened?.[method]?.(...args)
    return { id, result }
  } catch (error) {
    return { id, error: error instanceof Error ? error.message : String(error) }
  }
}

process.on('message', (question: Question) => {
  void answer(question).then((result) => process.connected && process.send?.(result))
})
process.once('disconnect', () => process.exit(0))
// Ctrl-C reaches the whole group; the parent decides when this process ends.
process.on('SIGINT', () => undefined)
// Some libraries throw where nobody can catch, from their connections; the measurement goes on without a trace of it.
process.on('uncaughtException', (error) => {
  process.stderr.write(`A benchmark's process had an uncaught error: ${error.message}\n`)
})
