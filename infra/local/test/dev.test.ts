import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { eventually } from '@wattle/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { watchSources } from '../src/dev.ts'
import { root } from '../src/home.ts'
import { choosePlace, expectNothingLeft, launch, readyLine, type Place } from './stack.ts'

describe('a change in a file', () => {
  const repo = mkdtempSync(join(tmpdir(), 'wattle-dev-'))
  const seen: string[] = []
  let watcher: ReturnType<typeof watchSources>
  beforeAll(() => {
    write('apps/one/package.json', '{"dependencies":{"@wattle/direct":"*","pg":"*"}}')
    write('apps/two/package.json', '{"dependencies":{}}')
    write('packages/direct/package.json', '{"dependencies":{"@wattle/deep":"*"}}')
    write('packages/deep/package.json', '{}')
    for (const folder of ['apps/one', 'apps/two', 'packages/direct', 'packages/deep']) {
      write(`${folder}/src/index.ts`, '')
    }
    const services = ['one', 'two']
    watcher = watchSources({
      root: repo,
      services,
      onChange: async (service, files) =>
        void seen.push(`${service}: ${files.toSorted().join(' ')}`),
    })
  })
  afterAll(() => {
    watcher.close()
    rmSync(repo, { recursive: true })
  })

  function write(file: string, text: string): void {
    mkdirSync(dirname(join(repo, file)), { recursive: true })
    writeFileSync(join(repo, file), text)
  }

  test.each([
    ['of a service restarts that one only', 'apps/two/src/routes.ts', 'two'],
    ['of a package restarts who imports it', 'packages/direct/src/a.ts', 'one'],
    ['of a package behind a package does, too', 'packages/deep/src/b.lua', 'one'],
    ['in a new folder does, too', 'apps/one/src/new/c.ts', 'one'],
  ])('%s', async (_what, file, service) => {
    seen.length = 0
    // Editors write several files, some of them none of ours.
    write(`${dirname(file)}/.x.ts.swp`, 'x')
    write(file, 'x')
    await eventually(() => expect(seen.join('\n')).toContain(`${service}: `))
    expect(seen.every((line) => line.startsWith(`${service}: `))).toBe(true)
    expect(seen.join()).not.toContain('.swp')
  })
})

describe('npm run dev', { timeout: 90_000 }, () => {
  let place: Place
  beforeAll(async () => {
    place = await choosePlace()
  })
  afterAll(() => place.remove())

  test('restarts a service whose file was saved, and no other', async () => {
    const run = launch(place, 'dev')
    await run.says(readyLine(place))
    const now = new Date()
    utimesSync(join(root, 'apps/billing/src/app.ts'), now, now)
    await run.says('billing: apps/billing/src/app.ts changed; restarting it')
    await run.says('billing is ready again')
    expect(run.output()).not.toMatch(/(user|gateway).* changed; restarting/)
    run.kill('SIGINT')
    expect(await run.ended).toBe(0)
    await expectNothingLeft(place)
  })
})
