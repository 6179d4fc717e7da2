import {
  copyFileSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { eventually, startRedis } from '@wattle/testkit'
import { afterAll, describe, expect, test } from 'vitest'
import { pack } from '../pack.ts'
import { engines, missingIn, publishedManifest } from '../pack/contents.ts'
import { packagesToPack } from '../pack/workspaces.ts'
import { fetchNode, npmInstall, run, startService } from './pack/stranger.ts'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const home = join(root, '.wattle/test')
const out = join(home, `pack-${process.pid}`)
const project = mkdtempSync(join(tmpdir(), 'wattle-stranger-'))
afterAll(() => {
  rmSync(out, { recursive: true, force: true })
  rmSync(project, { recursive: true, force: true })
})

const tarballs = await pack({ root, out })

describe('a package that stands alone', () => {
  test.each(tarballs)(
    '$name has its code, declarations, scripts and papers, and no more',
    async ({ name, file }) => {
      const folder = join(root, 'packages', name.replace('@wattle/', ''))
      const { output } = await run('tar', ['-tzf', file], out)
      const packed = output
        .trim()
        .split('\n')
        .map((path) => path.replace('package/', ''))
      expect(packed).toEqual(
        expect.arrayContaining([
          'package.json',
          'README.md',
          'CHANGELOG.md',
          'LICENSE',
          'dist/index.js',
          'dist/index.d.ts',
        ]),
      )
      const scripts = globSync('{src,migrations}/**/*.{lua,sql}', { cwd: folder })
      expect(scripts.length).toBeGreaterThan(0)
      expect(packed).toEqual(
        expect.arrayContaining(scripts.map((path) => path.replace('src/', 'dist/'))),
      )
      expect(packed.filter((path) => /(^|\/)(src|test)\/|(?<!\.d)\.ts$/.test(path))).toEqual([])
      expect(existsSync(join(folder, 'dist'))).toBe(false)
    },
  )

  test.each(packagesToPack(root, []))(
    'the changelog of $manifest.name opens with its version',
    ({ folder, manifest }) => {
      const [latest] = readFileSync(join(folder, 'CHANGELOG.md'), 'utf8').match(/^## .*/m) ?? []
      expect(latest).toContain(manifest.version)
    },
  )

  test('a dependency of the repo is asked for in exactly the version that was packed', () => {
    const manifest = { name: 'a', version: '2.0.0', dependencies: { b: '*', c: '^1.0.0' } }
    const { dependencies } = publishedManifest(manifest, new Map([['b', '2.0.0']]))
    expect(dependencies).toEqual({ b: '2.0.0', c: '^1.0.0' })
  })

  test.each([
    [`readFileSync(new URL('./a.lua', import.meta.url))`, 'needs ./a.lua, which is not packed'],
    [`import { a } from './a.js'`, 'needs ./a.js, which is not packed'],
    [`export { a } from '../../a.js'`, 'reaches out to ../../a.js'],
    [`import a from '@b/c/d'`, 'imports @b/c, which is no dependency'],
  ])('%s is found, where that is missing', (source, sentence) => {
    const stage = join(project, 'stage')
    mkdirSync(join(stage, 'dist'), { recursive: true })
    writeFileSync(join(stage, 'package.json'), '{}')
    writeFileSync(join(stage, 'dist/index.js'), `import 'node:fs'\n${source}\n`)
    expect(missingIn(stage)).toEqual([`dist/index.js ${sentence}`])
    rmSync(stage, { recursive: true })
  })
})

/** The oldest that `engines` lets in. */
const oldest = engines.node.replace(/^>=(.*)$/, '$1.0')
const own = { version: process.version, program: process.execPath }
const older = await fetchNode(oldest, home)
const nodes = older ? [own, { version: `v${oldest}`, program: older }] : [own]
if (!older) console.log(`Node ${oldest} cannot be fetched: only ${own.version} is tried here`)

const packages = [...tarballs.map(({ file }) => file), '@types/node@22']
const isInstalled = await npmInstall(project, packages)
const strangers = isInstalled ? [{ folder: project }] : []
if (!isInstalled) console.log('no registry can be reached: installing is not tested here')

describe.each(strangers)('the tarballs, installed outside the repo', ({ folder }) => {
  for (const name of ['consumer.ts', 'consumer.mjs']) {
    copyFileSync(new URL(`pack/${name}`, import.meta.url), join(folder, name))
  }
  const tsc = join(root, 'node_modules/.bin/tsc')
  const options = '--ignoreConfig --strict --module nodenext --target es2022 --types node'
  const compiled = run(tsc, [...options.split(' '), 'consumer.ts'], folder)

  test('TypeScript accepts the declarations, all of them, and sees mistakes', async () => {
    expect(await compiled).toEqual({ code: 0, output: '' })
  }, 60_000)

  test.each(nodes)('a CommonJS module can require them on $version', async ({ program }) => {
    const source = `console.log(typeof require('@wattle/cache').createCache)`
    const { output } = await run(program, ['--input-type=commonjs', '-e', source], folder)
    expect(output.split('\n')[0]).toBe('function')
  })

  const pairs = nodes.map((js, at) => ({ js, ts: nodes.at(at - 1) ?? js }))
  test.each(pairs)(
    'JavaScript on $js.version and TypeScript on $ts.version share loads and invalidations',
    async ({ js, ts }) => {
      await compiled
      await using redis = await startRedis()
      await using a = startService(js.program, join(folder, 'consumer.mjs'), redis.url)
      await using b = startService(ts.program, join(folder, 'consumer.js'), redis.url)

      // Until both have their connection each loads for itself.
      await eventually(async () => {
        expect(await a.does('read', 'first')).toBe(await b.does('read', 'second'))
      })
      expect(await a.does('read', 'third')).toMatch(/^(first|second) 2000$/)
      expect(await b.does('initial', 'Ada')).toBe('A')

      expect(await b.does('invalidate', 'new')).toBe('applied')
      await eventually(async () => expect(await a.does('read', 'new')).toBe('new 2000'))
      expect(await b.does('read', 'later')).toBe('new 2000')
      // They end by themselves: nothing is left open.
      expect(await Promise.all([a.end(), b.end()])).toEqual([0, 0])
    },
  )
})
