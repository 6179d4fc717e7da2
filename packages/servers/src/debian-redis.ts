import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { writeFileSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { withFileLock } from './file-lock.ts'
import { run, type RunResult } from './run.ts'

export interface UnpackOptions {
  /** The packages go to `<workDir>/redis-debian`. */
  workDir: string
  log: (line: string) => void
  env: NodeJS.ProcessEnv
  /** Do it anew, although it was done before. */
  again?: boolean
}

export type Unpacked = { command: string; env: Record<string, string> } | { problem: string }

/**
 * Downloads Debian's or Ubuntu's Redis with the libraries that this machine lacks, and unpacks it
 * without installing anything: no root, no service started, nothing outside `workDir` touched. apt
 * verifies signatures and checksums as for any installation. Once that is done, later calls use
 * neither network nor apt.
 */
export async function unpackRedisPackages(options: UnpackOptions): Promise<Unpacked> {
  const home = resolve(options.workDir, 'redis-debian')
  if (options.again) rmSync(join(home, marker), { force: true })
  const present = unpackedIn(home)
  if (present) return present
  for (const tool of ['apt-get', 'dpkg-deb']) {
    const answer = await run(tool, ['--version'], { env: options.env })
    if (answer.code !== 0) return { problem: `this system has no ${tool}` }
  }
  mkdirSync(home, { recursive: true })
  const unpack = async () => unpackedIn(home) ?? download(home, options)
  return withFileLock(join(home, 'lock'), unpack, { withinMs: 600_000 })
}

/** Written last. Holds paths relative to itself, so that the folder can be moved. */
const marker = 'unpacked.json'

function unpackedIn(home: string): Unpacked | undefined {
  if (!existsSync(join(home, marker))) return undefined
  const found = JSON.parse(readFileSync(join(home, marker), 'utf8')) as {
    command: string
    libraries: string[]
  }
  const libraries = found.libraries.map((path) => join(home, path)).join(':')
  return {
    command: join(home, found.command),
    env: libraries === '' ? {} : { LD_LIBRARY_PATH: libraries },
  }
}

async function download(home: string, { log, env }: UnpackOptions): Promise<Unpacked> {
  log('Redis is not installed: fetching its packages (about 3 MB, once) …')
  const archives = fresh(join(home, 'archives'))
  const apt = (index: string[], args: string[]) =>
    run('apt-get', [...common, ...index, ...args], { cwd: archives, env, timeoutMs: 300_000 })

  let got = await fetchPackages((args) => apt([], args), log)
  if (got.code !== 0) {
    // A container has no index; an old one names versions that the mirrors have dropped since.
    log('The package index of this system does not serve: fetching one (a minute at most) …')
    const own = ownIndex(join(home, 'apt'))
    // A repository that cannot be reached does not matter as long as another has the packages.
    await apt(own, ['update'])
    got = await fetchPackages((args) => apt(own, args), log)
  }
  if (got.code !== 0) return { problem: `apt-get: ${lastLine(got)}` }

  const root = fresh(join(home, 'root'))
  for (const archive of readdirSync(archives)) {
    const out = await run('dpkg-deb', ['--extract', join(archives, archive), root], { env })
    if (out.code !== 0) return { problem: `dpkg-deb: ${lastLine(out)}` }
  }
  for (const path of [archives, join(home, 'apt')]) rmSync(path, { recursive: true, force: true })
  const command = join(root, 'usr/bin/redis-server')
  if (!existsSync(command)) return { problem: 'the packages hold no usr/bin/redis-server' }
  const found = {
    command: relative(home, command),
    libraries: libraryFolders(root).map((path) => relative(home, path)),
  }
  writeFileSync(join(home, `${marker}.new`), JSON.stringify(found))
  renameSync(join(home, `${marker}.new`), join(home, marker))
  log('Redis is unpacked.')
  return unpackedIn(home) ?? { problem: 'the unpacked packages are gone' }
}

const common = ['-qq', '-o', 'Debug::NoLocking=1', '-o', 'APT::Sandbox::User=root']

/** Lets apt keep an index of its own, which needs no root. */
function ownIndex(state: string): string[] {
  const lists = join(state, 'lists')
  const cache = join(state, 'cache')
  mkdirSync(join(lists, 'partial'), { recursive: true })
  mkdirSync(join(cache, 'archives/partial'), { recursive: true })
  return ['-o', `Dir::State::lists=${lists}`, '-o', `Dir::Cache=${cache}`]
}

/** Asks apt what it would install on this machine, and downloads the server and its libraries. */
async function fetchPackages(
  apt: (args: string[]) => Promise<RunResult>,
  log: (line: string) => void,
): Promise<RunResult> {
  const wanted = ['redis-server', 'redis-tools']
  const flags = ['--simulate', '--no-install-recommends', '--reinstall']
  const plan = await apt([...flags, 'install', ...wanted])
  if (plan.code !== 0) return plan
  const packages = [...plan.stdout.matchAll(/^Inst (\S+)/gm)]
    .map(([, name = '']) => name)
    .filter((name) => /^(redis|lib)/.test(name))
  log(`Downloading ${packages.join(', ')} …`)
  return apt(['download', ...packages])
}

function libraryFolders(root: string): string[] {
  return ['usr/lib', 'lib'].flatMap((base) => {
    const path = join(root, base)
    if (!existsSync(path)) return []
    const multiarch = readdirSync(path).filter((name) => name.includes('-linux-'))
    return [...multiarch.map((name) => join(path, name)), path]
  })
}

function fresh(directory: string): string {
  rmSync(directory, { recursive: true, force: true })
  mkdirSync(directory, { recursive: true })
  return directory
}

function lastLine({ stderr, code }: RunResult): string {
  return stderr.trim().split('\n').at(-1) || `exit code ${code}`
}
