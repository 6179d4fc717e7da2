import { execFile } from 'node:child_process'
import { mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { basename, join, relative } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import {
  addCompanions,
  missingIn,
  publishedManifest,
  renameImportsOfDeclarations,
} from './pack/contents.ts'
import { PackError, packagesToPack, type Workspace } from './pack/workspaces.ts'

/**
 * Inside the repo nothing is built: Node runs the TypeScript of the packages as it is. It does not do so below
 * node_modules, where others have them. So a package is built while it is packed, in a folder of its own: sources,
 * package.json and `exports` of the workspace stay as they are, and no build can be out of date.
 *
 * Each package is compiled against the declarations that were just made of the ones it stands on: against what others get.
 */

/** A package that was packed. */
export type Tarball = { name: string; version: string; file: string }

/**
 * Packs packages, and those they stand on, into tarballs below `out` (emptied first; within the repo, for the compiler
 * finds the types of Node from there). Without names it takes all that have a `publishConfig`. In the order in which
 * they stand on one another. Rejects with a `PackError` that says what is wrong.
 */
export async function pack({
  root,
  out,
  names = [],
}: {
  root: string
  out: string
  names?: readonly string[]
}): Promise<Tarball[]> {
  const workspaces = packagesToPack(root, names)
  const versions = new Map(workspaces.map(({ manifest }) => [manifest.name, manifest.version]))
  const declarations: Record<string, [string]> = {}
  const stages: string[] = []
  rmSync(out, { recursive: true, force: true })
  for (const workspace of workspaces) {
    const { name } = workspace.manifest
    const stage = join(out, 'stage', basename(workspace.folder))
    mkdirSync(stage, { recursive: true })
    await compile({ workspace, root, stage, declarations })
    renameImportsOfDeclarations(stage)
    addCompanions({ workspace, root, stage })
    const manifest = publishedManifest(workspace.manifest, versions)
    writeFileSync(join(stage, 'package.json'), `${JSON.stringify(manifest, undefined, 2)}\n`)
    const missing = missingIn(stage)
    if (missing.length > 0) throw new PackError(`${name}:\n${missing.join('\n')}`)
    declarations[name] = [join(stage, 'dist', 'index.d.ts')]
    stages.push(stage)
  }
  const options = ['--json', '--ignore-scripts', '--pack-destination', out]
  const packed = JSON.parse(await run('npm', ['pack', ...options, ...stages], out)) as Packed[]
  return packed.map(({ name, version, filename }) => ({ name, version, file: join(out, filename) }))
}

/** What npm tells of a tarball. */
type Packed = { name: string; version: string; filename: string }

async function compile({
  workspace,
  root,
  stage,
  declarations,
}: {
  workspace: Workspace
  root: string
  stage: string
  declarations: Record<string, [string]>
}): Promise<void> {
  const source = join(workspace.folder, 'src')
  const project = `${stage}.json`
  const config = {
    extends: join(root, 'tsconfig.base.json'),
    compilerOptions: {
      noEmit: false,
      declaration: true,
      allowImportingTsExtensions: false,
      rewriteRelativeImportExtensions: true,
      // What the oldest Node that is served understands.
      target: 'es2024',
      lib: ['es2024', 'esnext.disposable'],
      rootDir: source,
      outDir: join(stage, 'dist'),
      paths: declarations,
    },
    include: [source],
  }
  writeFileSync(project, JSON.stringify(config))
  await run(join(root, 'node_modules/.bin/tsc'), ['-p', project], root)
}

function run(command: string, args: string[], cwd: string): Promise<string> {
  return new Promise((done, fail) => {
    execFile(command, args, { cwd, encoding: 'utf8' }, (error, stdout, stderr) => {
      if (!error) return done(stdout)
      fail(new PackError(`${basename(command)} in ${cwd} failed:\n${stdout}${stderr}`))
    })
  })
}

async function main(root: string, names: string[]): Promise<void> {
  const tarballs = await pack({ root, out: join(root, '.wattle/pack'), names })
  for (const { name, version, file } of tarballs) {
    const kib = Math.ceil(statSync(file).size / 1024)
    console.log(`${name} ${version}  ${relative(process.cwd(), file)}  ${kib} KiB`)
  }
  console.log(
    `\nInstall them together: npm install ${tarballs.map(({ file }) => relative(process.cwd(), file)).join(' ')}`,
  )
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  try {
    await main(fileURLToPath(new URL('../..', import.meta.url)), process.argv.slice(2))
  } catch (error) {
    if (!(error instanceof PackError)) throw error
    console.error(error.message)
    process.exitCode = 1
  }
}
