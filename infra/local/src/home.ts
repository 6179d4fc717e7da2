import { accessSync, constants, mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Problem } from './problem.ts'

/** The repo, and where everything local of one stack lives. */
export type Home = ReturnType<typeof openHome>

/** The root folder of the repo. */
export const root = fileURLToPath(new URL('../../..', import.meta.url)).replace(/\/$/, '')

/**
 * The places under WATTLE_HOME, by default `.wattle` in the repo. Only `data` is emptied by `--fresh`. Programs that are
 * fetched once, and compiled code, stay in the repo's `.wattle`, whatever WATTLE_HOME is.
 * Throws a Problem when this user may not write there.
 */
export function openHome(env: NodeJS.ProcessEnv = process.env) {
  const directory = resolve(env['WATTLE_HOME'] || join(root, '.wattle'))
  const at = (...names: string[]) => join(directory, ...names)
  const home = {
    directory,
    programs: join(root, '.wattle'),
    compileCache: join(root, '.wattle', 'compile-cache'),
    data: at('data'),
    redis: at('data', 'redis'),
    postgres: at('data', 'postgres'),
    seeded: at('data', 'seeded.json'),
    secrets: at('secrets'),
    logs: at('logs'),
    run: at('run'),
    lock: at('run', 'supervisor.lock'),
  }
  try {
    mkdirSync(home.programs, { recursive: true })
    mkdirSync(directory, { recursive: true, mode: 0o711 })
    for (const path of [home.secrets, home.logs, home.run]) {
      mkdirSync(path, { recursive: true, mode: 0o700 })
      accessSync(path, constants.W_OK | constants.X_OK)
    }
  } catch (error) {
    throw new Problem(
      `This user may not write under ${directory} (${(error as Error).message}): see who owns it, or set WATTLE_HOME.`,
      { cause: error },
    )
  }
  return home
}
