import { existsSync, globSync, readFileSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { dirname, relative, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

/**
 * Imports go one way. What each workspace may import of the others stands here, and nowhere else:
 * contracts ← redis ← { cache, ratelimit, identity, events }, database beside them, ← service ← apps.
 * Packages inside the braces do not import one another. Tests may also use the testkit.
 */
const foundation = ['contracts', 'redis', 'database']
const allowed: Record<string, readonly string[]> = {
  contracts: [],
  redis: ['contracts'],
  database: ['contracts'],
  cache: ['contracts', 'redis'],
  ratelimit: ['contracts', 'redis'],
  identity: ['contracts', 'redis'],
  events: foundation,
  service: [...foundation, 'cache', 'identity', 'ratelimit'],
  servers: [],
  testkit: ['servers'],
  local: [...foundation, 'servers'],
  checks: ['cache', 'redis'],
}
const ofApps = [...foundation, 'cache', 'ratelimit', 'identity', 'events', 'service']

/** An import that breaks a rule. */
export type Violation = { file: string; imported: string; reason: string }

const importPattern =
  /(?:^|\n)\s*(?:import|export)\s(?:[^'"`;]*?\sfrom\s*)?['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/g

/** Benchmarks are no workspace: they measure every package beside packages that nobody else may use. */
const outside = ['infra/bench']

/** Every forbidden import below `root`. */
export function violations(root: string): Violation[] {
  const manifests = globSync('{packages,apps,infra}/*/package.json', { cwd: root })
  const inside = manifests.filter((path) => !outside.includes(dirname(path)))
  const workspaces = inside.map((path) => {
    const folder = dirname(path)
    const manifest = JSON.parse(readFileSync(resolve(root, path), 'utf8')) as Manifest
    return {
      folder,
      isApp: folder.startsWith('apps/'),
      name: manifest.name.replace('@wattle/', ''),
      manifest,
    }
  })
  const isApp = (name: string) => workspaces.some((one) => one.isApp && one.name === name)

  return workspaces.flatMap(({ folder, isApp: inApp, name, manifest }) => {
    const table = inApp ? ofApps : allowed[name]
    const files = globSync('**/*.{ts,tsx,mts,mjs}', {
      cwd: resolve(root, folder),
      exclude: (path) => path === 'node_modules' || path === 'dist',
    })
    if (!table) {
      return [
        {
          file: folder,
          imported: '',
          reason: 'is not in the table of infra/checks/boundaries.ts; add its line',
        },
      ]
    }
    return files.flatMap((path) => {
      const file = `${folder}/${path}`
      const isTest = path.startsWith('test/') || !/^(src|migrations)\//.test(path)
      const source = readFileSync(resolve(root, file), 'utf8')
      return importsOf(source).flatMap((imported) => {
        const reason = judge(imported)
        return reason === undefined ? [] : [{ file, imported, reason }]
      })

      function judge(imported: string): string | undefined {
        if (imported.startsWith('.')) {
          const target = relative(resolve(root, folder), resolve(root, dirname(file), imported))
          return target.startsWith('..')
            ? 'a relative import must stay inside its own workspace'
            : undefined
        }
        if (imported.startsWith('node:')) return undefined
        if (builtinModules.includes(imported)) return `write node:${imported}`
        const [scope, second, ...rest] = imported.split('/')
        const packageName = scope?.startsWith('@') ? `${scope}/${second}` : (scope ?? '')
        const listed =
          packageName in (manifest.dependencies ?? {}) ||
          ((isTest || packageName.startsWith('@types/')) &&
            packageName in (manifest.devDependencies ?? {}))
        if (scope !== '@wattle' || second === undefined) {
          const outside = isTest && packageName === 'vitest'
          return listed || outside
            ? undefined
            : `is not among the dependencies of ${folder}/package.json`
        }
        if (rest.length > 0) return 'only what a package exports from its index may be imported'
        if (isApp(second)) return 'nobody imports an app'
        if (second === name) return isTest ? undefined : 'a package imports itself by path'
        if (second === 'testkit') return isTest ? undefined : 'the testkit is for tests'
        if (!table?.includes(second))
          return `${name} may import ${table?.join(', ') || 'no other package'}`
        return listed ? undefined : `is not among the dependencies of ${folder}/package.json`
      }
    })
  })
}

type Manifest = {
  name: string
  dependencies?: Record<string, string>
  devDependencies?: Record<string, string>
}

/** What a source file imports, as it is written there. */
export function importsOf(source: string): string[] {
  const code = source.replaceAll(/\/\*[\s\S]*?\*\//g, '')
  return [...code.matchAll(importPattern)].map((match) => match[1] ?? match[2] ?? '')
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const root = fileURLToPath(new URL('../..', import.meta.url))
  if (!existsSync(resolve(root, 'package.json'))) throw new Error(`${root} is not the repository`)
  const found = violations(root)
  for (const { file, imported, reason } of found) console.error(`${file}: ${imported}: ${reason}`)
  if (found.length > 0) process.exitCode = 1
}
