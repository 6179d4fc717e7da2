import { cpSync, existsSync, globSync, readFileSync, writeFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { importsOf } from '../boundaries.ts'
import type { Manifest, Workspace } from './workspaces.ts'

/** What the packages ask for: from here on zstd is in node:zlib, and an ES module can be required. */
export const engines = { node: '>=22.15' }

/** What a package has beside its code. Tests and tools stay at home. */
const companions = ['README.md', 'CHANGELOG.md', 'docs', 'migrations']

/**
 * The package.json that others get: built code instead of sources, and exactly the version that was packed of every
 * package of the repo, for these are only ever tested together.
 */
export function publishedManifest(manifest: Manifest, packed: ReadonlyMap<string, string>) {
  const { name, version, description, license, keywords, publishConfig } = manifest
  const { peerDependencies, peerDependenciesMeta } = manifest
  const dependencies = Object.fromEntries(
    Object.entries(manifest.dependencies ?? {}).map(([of, range]) => [of, packed.get(of) ?? range]),
  )
  return {
    name,
    version,
    description,
    license,
    keywords,
    type: 'module',
    engines,
    exports: {
      '.': { types: './dist/index.d.ts', default: './dist/index.js' },
      './package.json': './package.json',
    },
    dependencies,
    peerDependencies,
    peerDependenciesMeta,
    publishConfig,
  }
}

/** Puts beside the built code what it reads at run time (Lua, SQL), and what a person reads. */
export function addCompanions({ workspace, root, stage }: Place): void {
  const source = join(workspace.folder, 'src')
  for (const path of globSync('**/*.*', { cwd: source, exclude: ['**/*.ts'] })) {
    cpSync(join(source, path), join(stage, 'dist', path))
  }
  for (const name of companions) {
    const from = join(workspace.folder, name)
    if (existsSync(from)) cpSync(from, join(stage, name), { recursive: true })
  }
  cpSync(join(root, 'LICENSE'), join(stage, 'LICENSE'))
}

/** The compiler gives `.js` to imports of code and leaves `.ts` in declarations; older compilers want `.js` in both. */
export function renameImportsOfDeclarations(stage: string): void {
  for (const path of globSync('dist/**/*.d.ts', { cwd: stage })) {
    const file = join(stage, path)
    const text = readFileSync(file, 'utf8')
    writeFileSync(
      file,
      text.replaceAll(/(\bfrom |\bimport\()(["'])(\.[^"']*)\.ts\2/g, '$1$2$3.js$2'),
    )
  }
}

/** What would be missing once the package stands alone: files that it reads or imports, dependencies it does not name. */
export function missingIn(stage: string): string[] {
  const manifest = JSON.parse(readFileSync(join(stage, 'package.json'), 'utf8')) as Manifest
  const named = { ...manifest.dependencies, ...manifest.peerDependencies }
  return globSync('dist/**/*.{js,d.ts}', { cwd: stage }).flatMap((path) => {
    const text = readFileSync(join(stage, path), 'utf8')
    return [...importsOf(text), ...filesReadBy(text)].flatMap((wanted) => {
      if (isBuiltin(wanted)) return []
      if (!wanted.startsWith('.')) {
        const name = wanted.split('/', wanted.startsWith('@') ? 2 : 1).join('/')
        return name in named ? [] : [`${path} imports ${name}, which is no dependency`]
      }
      const target = resolve(stage, dirname(path), wanted)
      if (!target.startsWith(`${resolve(stage)}/`)) return [`${path} reaches out to ${wanted}`]
      return existsSync(target) ? [] : [`${path} needs ${wanted}, which is not packed`]
    })
  })
}

function filesReadBy(source: string): string[] {
  const code = source.replaceAll(/\/\*[\s\S]*?\*\//g, '')
  return [...code.matchAll(/new URL\(\s*['"]([^'"]+)['"],\s*import\.meta\.url/g)].map(
    (match) => match[1] ?? '',
  )
}

type Place = { workspace: Workspace; root: string; stage: string }
