import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { withFileLock } from './file-lock.ts'
import { run } from './run.ts'

export interface UnpackOptions {
  /** The packages go under `<workDir>/redis-debian`. */
  workDir: string
  log: (line: string) => void
  /** Use a package index of our own even where the system has one. Default false. */
  ownIndex?: boolean
}

export type Unpacked = { command: string; env: Record<string, string> } | { problem: string }

/**
 * Downloads Debian's (or Ubuntu's) Redis with the libraries that this machine lacks, and unpacks it
 * without installing anything: no root, no service started, nothing outside `workDir` touched.
 * Signatures and checksums are verified by apt as for any installation. Once unpacked, later calls
 * use neither network nor apt.
 */
export async function unpackRedisPackages(options: UnpackOptions): Promise<Unpacked> {
  if (process.platform !== 'linux') return { problem: 'there are none for this system' }
  const home = resolve(options.workDir, 'redis-debian')
  const present = unpackedIn(home)
  if (present) return present
  for (const tool of ['apt-get', 'dpkg-deb']) {
    const answer = await run(tool, ['--version'])
    if (answer.code !== 0) return { problem: `this system has no ${tool}` }
  }
  mkdirSync(home, { recursive: true })
  return withFileLock(join(home, 'lock'), async () => unpackedIn(home) ?? download(home, options), {
    withinMs: 600_000,
  })
}

function unpackedIn(home: string): Unpacked | undefined {
  try {
    return JSON.parse(readFileSync(join(home, 'unpacked.json'), 'utf8')) as Unpacked
  } catch {
    return undefined
  }
}

async function download(home: string, { log, ownIndex = false }: UnpackOptions): Promise<Unpacked> {
  log('Redis is not installed: fetching its Debian packages (about 3 MB, once) …')
  const apt = aptIn(home)
  let packages = ownIndex ? undefined : await resolvePackages(apt.system)
  let options = apt.system
  if (!packages) {
    log('The package index of this system is empty: fetching one (a minute at most) …')
    apt.prepare()
    options = apt.own
    // A repository that cannot be reached does not matter as long as another has the packages.
    const update = await run('apt-get', [...options, 'update'], { timeoutMs: 300_000 })
    packages = await resolvePackages(options)
    if (!packages) return { problem: `apt-get finds no redis-server ${tail(update.stderr)}` }
  }
  const archives = fresh(join(home, 'archives'))
  log(`Downloading ${packages.join(', ')} …`)
  let got = await run('apt-get', [...options, 'download', ...packages], {
    cwd: archives,
    timeoutMs: 300_000,
  })
  if (got.code !== 0 && options === apt.system) {
    // An old index names versions that the mirrors have dropped since.
    rmSync(join(home, 'unpacked.json'), { force: true })
    return download(home, { workDir: home, log, ownIndex: true })
  }
  if (got.code !== 0) return { problem: `apt-get download failed ${tail(got.stderr)}` }
  const root = fresh(join(home, 'root'))
  for (const archive of readdirSync(archives)) {
    got = await run('dpkg-deb', ['--extract', join(archives, archive), root])
    if (got.code !== 0) return { problem: `dpkg-deb failed ${tail(got.stderr)}` }
  }
  rmSync(archives, { recursive: true, force: true })
  const unpacked = { command: join(root, 'usr/bin/redis-server'), env: libraryPath(root) }
  if (!existsSync(unpacked.command)) return { problem: 'the package holds no usr/bin/redis-server' }
  const marker = join(home, 'unpacked.json')
  writeFileSync(`${marker}.new`, JSON.stringify(unpacked))
  renameSync(`${marker}.new`, marker)
  log('Redis is unpacked.')
  return unpacked
}

/** apt's options: with the system's index, and with a private one that needs no root. */
function aptIn(home: string) {
  // Long paths trip apt's lock and socket names, so the state lies in one short directory.
  const state = join(home, 'apt')
  const common = ['-o', 'Debug::NoLocking=1', '-o', 'APT::Sandbox::User=root', '-qq']
  const set = (name: string, value: string) => ['-o', `${name}=${value}`]
  return {
    system: [...common, ...set('Dir::Cache', join(state, 'cache'))],
    own: [
      ...common,
      ...set('Dir::State', join(state, 'state')),
      ...set('Dir::State::status', '/var/lib/dpkg/status'),
      ...set('Dir::Cache', join(state, 'cache')),
    ],
    prepare() {
      for (const path of ['state/lists/partial', 'cache/archives/partial']) {
        mkdirSync(join(state, path), { recursive: true })
      }
    },
  }
}

/** What apt would install for Redis on this machine: the server and every library it lacks. */
async function resolvePackages(options: string[]): Promise<string[] | undefined> {
  const wanted = ['redis-server', 'redis-tools']
  const simulate = ['--simulate', '--no-install-recommends', '--reinstall', 'install', ...wanted]
  const plan = await run('apt-get', [...options, ...simulate])
  if (plan.code !== 0) return undefined
  const names = plan.stdout.matchAll(/^Inst (\S+)/gm)
  return [...names].map(([, name = '']) => name).filter((name) => /^(redis|lib)/.test(name))
}

function libraryPath(root: string): Record<string, string> {
  const directories = ['usr/lib', 'lib'].flatMap((base) => {
    const path = join(root, base)
    if (!existsSync(path)) return []
    const multiarch = readdirSync(path).filter((name) => name.includes('-linux-'))
    return [...multiarch.map((name) => join(path, name)), path]
  })
  return directories.length === 0 ? {} : { LD_LIBRARY_PATH: directories.join(':') }
}

function fresh(directory: string): string {
  rmSync(directory, { recursive: true, force: true })
  mkdirSync(directory, { recursive: true })
  return directory
}

function tail(text: string): string {
  const line = text.trim().split('\n').at(-1)
  return line ? `(${line})` : ''
}
