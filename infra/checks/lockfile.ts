import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath, pathToFileURL } from 'node:url'

/**
 * Is the lockfile complete for platforms other than the one it was written on? Tools such as oxlint come as one
 * optional package per platform. A registry view that lacks some of them makes npm write a lock without them, and
 * `npm ci` then stops on those platforms. With `--fix` the missing ones are added by version and platform.
 */

type LockEntry = {
  version?: string
  optional?: boolean
  os?: string[]
  cpu?: string[]
  libc?: string[]
  optionalDependencies?: Record<string, string>
}
export type Lockfile = { packages: Record<string, LockEntry> }

const systems = ['darwin', 'linux', 'win32', 'freebsd', 'android', 'openharmony']
const processors = ['arm64', 'arm', 'x64', 'ia32', 'ppc64', 'riscv64', 's390x']

/** The optional packages that some entry asks for and that no entry provides, as `name@version`. */
export function missingOptional({ packages }: Lockfile): { name: string; version: string }[] {
  const missing = new Map<string, string>()
  for (const [path, entry] of Object.entries(packages)) {
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
      if (!searchPath(path).some((folder) => `${folder}node_modules/${name}` in packages)) {
        missing.set(name, version)
      }
    }
  }
  return [...missing].map(([name, version]) => ({ name, version }))
}

/** The lock with an entry for each missing package. Throws for one whose name does not tell its platform. */
export function completed(lock: Lockfile): Lockfile {
  const packages = { ...lock.packages }
  for (const { name, version } of missingOptional(lock)) {
    const words = name.split(/[/-]/)
    const os = systems.filter((system) => words.includes(system))
    const cpu = processors.filter((processor) => words.includes(processor))
    if (os.length !== 1 || cpu.length !== 1) {
      throw new Error(
        `${name} is missing from package-lock.json, and its platform is not in its name`,
      )
    }
    const libc = words.some((word) => word.startsWith('musl')) ? { libc: ['musl'] } : {}
    packages[`node_modules/${name}`] = { version, cpu, ...libc, optional: true, os }
  }
  const sorted = Object.entries(packages).toSorted(([a], [b]) => a.localeCompare(b, 'en'))
  return { ...lock, packages: Object.fromEntries(sorted) }
}

/** The folders in which node looks for a dependency of the package at `path`, innermost first. */
function searchPath(path: string): string[] {
  const folders = [path === '' ? '' : `${path}/`]
  for (let at = path; at !== '';) {
    const end = at.lastIndexOf('/node_modules/')
    at = end < 0 ? '' : at.slice(0, end)
    folders.push(at === '' ? '' : `${at}/`)
  }
  return folders
}

/** The lock files of the repository: the root's, and that of the packages which benchmarks compare with. */
const lockFiles = ['package-lock.json', 'infra/bench/package-lock.json']

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  for (const name of lockFiles) {
    const file = fileURLToPath(new URL(`../../${name}`, import.meta.url))
    const lock = JSON.parse(readFileSync(file, 'utf8')) as Lockfile
    const missing = missingOptional(lock)
    if (missing.length > 0 && process.argv.includes('--fix')) {
      writeFileSync(file, `${JSON.stringify(completed(lock), undefined, 2)}\n`)
      console.log(`${name}: added ${missing.length} optional packages of other platforms`)
    } else if (missing.length > 0) {
      const names = missing.map(({ name, version }) => `  ${name}@${version}`).join('\n')
      console.error(
        `${name} lacks packages that other platforms need:\n${names}\nAdd them: node infra/checks/lockfile.ts --fix`,
      )
      process.exitCode = 1
    }
  }
}
