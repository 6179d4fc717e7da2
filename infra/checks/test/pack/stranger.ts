import { execFile, fork, type ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Nothing that the registry says when it is there. */
const unreachable =
  /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ENETUNREACH|ETIMEDOUT|ENOTCACHED)\b/

/**
 * Installs into `folder` as somebody outside the repo does. True when it is done, false when the registry cannot be
 * reached; rejects with npm's words where npm refuses.
 */
export async function npmInstall(folder: string, packages: readonly string[]): Promise<boolean> {
  mkdirSync(folder, { recursive: true })
  const manifest = { name: 'stranger', private: true, type: 'module' }
  writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest))
  const options = '--prefer-offline --no-audit --no-fund --fetch-retries=1 --ignore-scripts=false'
  const args = ['install', ...options.split(' '), ...packages]
  const { code, output } = await run('npm', args, folder)
  if (code === 0) return true
  if (unreachable.test(output)) return false
  throw new Error(`npm install ${packages.join(' ')} failed:\n${output}`)
}

/** The program of another version of Node, kept in `home` from the first run on; undefined where it cannot be fetched. */
export async function fetchNode(version: string, home: string): Promise<string | undefined> {
  const kept = join(home, `node-${version}`)
  const program = 'node_modules/node/bin/node'
  if (!existsSync(join(kept, program))) {
    const fresh = `${kept}.${process.pid}`
    try {
      if (!(await npmInstall(fresh, [`node@${version}`]))) return undefined
      // Its install script fetches the program; npm may have been told to run none.
      if (!existsSync(join(fresh, program))) return undefined
      rmSync(kept, { recursive: true, force: true })
      renameSync(fresh, kept)
    } finally {
      rmSync(fresh, { recursive: true, force: true })
    }
  }
  return join(kept, program)
}

/** Runs a program to its end, for two minutes at most, with nothing of this process's environment that could help it. */
export function run(
  program: string,
  args: readonly string[],
  cwd: string,
): Promise<{ code: number; output: string }> {
  return new Promise((done) => {
    const options = { cwd, env: plainEnvironment(), timeout: 120_000 }
    execFile(program, args, options, (error, stdout, stderr) => {
      done({ code: error ? 1 : 0, output: `${stdout}${stderr}${error?.message ?? ''}` })
    })
  })
}

/** Without what npm, Nx and vitest put there: a stranger's terminal has none of it. */
function plainEnvironment(): NodeJS.ProcessEnv {
  const own =
    /^(npm_(lifecycle|package|command|execpath|node_execpath|config_local_prefix)|NODE_(ENV|OPTIONS|PATH|COMPILE_CACHE)|VITEST|INIT_CWD)/
  const path = (process.env['PATH'] ?? '').split(delimiter)
  return {
    ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !own.test(name))),
    PATH: path.filter((entry) => !entry.includes('node_modules')).join(delimiter),
  }
}

/** One process of a stranger's service. */
export type Service = {
  does(what: 'read' | 'initial' | 'invalidate', name: string): Promise<unknown>
  /** Lets it close everything; its exit code, which is 0 when nothing keeps it alive then. */
  end(): Promise<number | null>
  /** Ends it in any case. */
  [Symbol.asyncDispose](): Promise<void>
}

/** Starts a program of the stranger's on a Node of theirs. */
export function startService(node: string, program: string, redisUrl: string): Service {
  const child: ChildProcess = fork(program, {
    execPath: node,
    execArgv: [],
    env: { ...plainEnvironment(), REDIS_URL: redisUrl },
  })
  const exited = new Promise<number | null>((done) => child.once('exit', done))
  let calls = 0
  return {
    does(what, name) {
      const id = ++calls
      child.send({ id, does: what, name })
      return new Promise((done, fail) => {
        const hear = (reply: { id: number; answer: unknown }) => {
          if (reply.id !== id) return
          child.off('message', hear)
          done(reply.answer)
        }
        child.on('message', hear)
        void exited.then((code) => fail(new Error(`${program} ended with ${code}`)))
      })
    },
    end() {
      child.disconnect()
      return exited
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await exited
    },
  }
}
