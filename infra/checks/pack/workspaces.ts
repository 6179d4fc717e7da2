import { globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** A package of the repo, as its package.json tells it. */
export type Workspace = { folder: string; manifest: Manifest }

/** What is read of a package.json. */
export type Manifest = {
  name: string
  version: string
  description?: string
  license?: string
  keywords?: string[]
  publishConfig?: Record<string, unknown>
  dependencies?: Record<string, string>
  peerDependencies?: Record<string, string>
  peerDependenciesMeta?: Record<string, { optional?: boolean }>
}

/**
 * The packages to pack, each after those it stands on: the named ones (`cache` or `@wattle/cache`), else all that have a
 * `publishConfig` in their package.json. Throws where a name is unknown.
 */
export function packagesToPack(root: string, names: readonly string[]): Workspace[] {
  const all = new Map<string, Workspace>()
  for (const path of globSync('packages/*/package.json', { cwd: root }).toSorted()) {
    const manifest = JSON.parse(readFileSync(join(root, path), 'utf8')) as Manifest
    all.set(manifest.name, { folder: join(root, dirname(path)), manifest })
  }
  const wanted =
    names.length > 0
      ? names.map((name) => (name.startsWith('@') ? name : `@wattle/${name}`))
      : [...all.values()]
          .filter(({ manifest }) => manifest.publishConfig)
          .map(({ manifest }) => manifest.name)

  const ordered = new Set<Workspace>()
  const add = (name: string) => {
    const found = all.get(name)
    if (!found) throw new PackError(`There is no package ${name} in packages/.`)
    for (const below of Object.keys(found.manifest.dependencies ?? {})) {
      if (all.has(below)) add(below)
    }
    ordered.add(found)
  }
  for (const name of wanted) add(name)
  return [...ordered]
}

/** What keeps a package from being packed, in sentences for whoever packs it. */
export class PackError extends Error {
  override name = 'PackError'
}
