import {
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { WorkerSettings } from './messages.ts'

/** Replaces one text of one source file, where it must stand exactly once. */
export type Edit = { file: string; from: string; to: string }

const root = fileURLToPath(new URL('../../../..', import.meta.url))

export type Copy = { modules: WorkerSettings['modules']; [Symbol.dispose](): void }

/**
 * A copy of the sources of both packages with some places changed. Throws when a text is not found, or more than once:
 * then the code has changed and the mutant must follow, or it would no longer be one.
 */
export function copyWith(name: string, edits: readonly Edit[]): Copy {
  const home = join(root, '.wattle', 'mutants', `${name.replaceAll(/\W+/g, '-')}-${process.pid}`)
  const remove = () => rmSync(home, { recursive: true, force: true })
  remove()
  mkdirSync(home, { recursive: true })
  for (const part of ['redis', 'cache']) {
    cpSync(join(root, 'packages', part, 'src'), join(home, part), { recursive: true })
  }
  for (const path of globSync('cache/**/*.ts', { cwd: home })) {
    const depth = path.split('/').length - 1
    rewrite(path, (text) =>
      text.replaceAll("'@wattle/redis'", `'${'../'.repeat(depth)}redis/index.ts'`),
    )
  }
  try {
    for (const { file, from, to } of edits) {
      rewrite(file, (text) => {
        const [before, after, ...more] = text.split(from)
        if (before === undefined || after === undefined || more.length > 0) {
          throw new Error(
            `The mutant "${name}" replaces a text that stands ${text.split(from).length - 1} times in ${file}, ` +
              `not once: ${JSON.stringify(from)}.`,
          )
        }
        return before + to + after
      })
    }
  } catch (cause) {
    remove()
    throw cause
  }

  function rewrite(path: string, change: (text: string) => string): void {
    const file = join(home, path)
    if (!existsSync(file))
      throw new Error(`The mutant "${name}" changes ${path}, which is not there.`)
    writeFileSync(file, change(readFileSync(file, 'utf8')))
  }

  const url = (path: string) => pathToFileURL(join(home, path)).href
  return {
    modules: { cache: url('cache/index.ts'), redis: url('redis/index.ts') },
    [Symbol.dispose]: remove,
  }
}
