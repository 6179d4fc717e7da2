import { execFile } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { isInstalled, markInstallBegun, markInstallDone } from '../bootstrap/installed.mjs'
import { root } from '../src/home.ts'

let repo: string
beforeEach(() => {
  repo = mkdtempSync(join(tmpdir(), 'wattle-repo-'))
  write('package-lock.json', lockOf({}))
  write('node_modules/.package-lock.json', lockOf({}))
  write('node_modules/node/package.json', JSON.stringify({ version: '24.1.0' }))
  write('node_modules/node/bin/node', '')
  truncateSync(join(repo, 'node_modules/node/bin/node'), 2_000_000)
  chmodSync(join(repo, 'node_modules/node/bin/node'), 0o755)
  mkdirSync(join(repo, 'packages/own'), { recursive: true })
  mkdirSync(join(repo, 'node_modules/@wattle'))
  symlinkSync('../../packages/own', join(repo, 'node_modules/@wattle/own'))
  mkdirSync(join(repo, '.wattle'))
})
afterEach(() => rmSync(repo, { recursive: true }))

function write(file: string, text: string): void {
  const path = join(repo, file)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
}

/** A lock file as npm writes it: Node, one package of our own, and more. */
function lockOf(more: Record<string, object>): string {
  return JSON.stringify({
    packages: {
      '': {},
      'packages/own': {},
      'node_modules/@wattle/own': { resolved: 'packages/own', link: true },
      'node_modules/node': { version: '24.1.0' },
      ...more,
    },
  })
}

describe('the bootstrap takes the packages for complete', () => {
  test('when they are what the lock file asks for, whoever installed them', () => {
    expect(isInstalled(repo)).toBe(true)
    expect(isInstalled(repo)).toBe(true)
  })

  test('without what belongs to other platforms', () => {
    const foreign = { 'node_modules/x': { version: '1.0.0', optional: true, os: ['plan9'] } }
    write('package-lock.json', lockOf(foreign))
    expect(isInstalled(repo)).toBe(true)
  })
})

describe('the bootstrap does not take the packages for complete', () => {
  test('when there are none', () => {
    rmSync(join(repo, 'node_modules'), { recursive: true })
    expect(isInstalled(repo)).toBe(false)
  })

  test('when the lock file asks for another package, or another version, than before', () => {
    expect(isInstalled(repo)).toBe(true)
    write('package-lock.json', lockOf({ 'node_modules/x': { version: '1.0.0' } }))
    expect(isInstalled(repo)).toBe(false)
    write('node_modules/.package-lock.json', lockOf({ 'node_modules/x': { version: '1.0.1' } }))
    expect(isInstalled(repo)).toBe(false)
  })

  test('when a package of the repo is not linked', () => {
    rmSync(join(repo, 'node_modules/@wattle/own'))
    expect(isInstalled(repo)).toBe(false)
  })

  test('when the Node they bring is of another version, or cut short', () => {
    truncateSync(join(repo, 'node_modules/node/bin/node'), 1_000)
    expect(isInstalled(repo)).toBe(false)
    truncateSync(join(repo, 'node_modules/node/bin/node'), 2_000_000)
    write('node_modules/node/package.json', JSON.stringify({ version: '24.0.0' }))
    expect(isInstalled(repo)).toBe(false)
  })

  test('when an install was interrupted, however complete it looks', () => {
    markInstallBegun(repo)
    expect(isInstalled(repo)).toBe(false)
    markInstallDone(repo)
    expect(isInstalled(repo)).toBe(true)
  })
})

describe('the bootstrap, run by hand', () => {
  test.each(['start', 'stop', 'dev', 'doctor'])('%s --help tells the options', async (command) => {
    const { code, stdout } = await bootstrap([command, '--help'])
    expect(code).toBe(0)
    expect(stdout).toContain(command === 'start' ? 'npm start' : `npm run ${command}`)
    expect(stdout).toContain('WATTLE_HOME')
  })

  test('passes on arguments and the exit code', async () => {
    const { code, stderr } = await bootstrap(['start', '--nonsense'])
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining('--nonsense') })
  })

  test('refuses an option that npm has swallowed', async () => {
    const { code, stderr } = await bootstrap(['start'], { npm_config_fresh: 'true' })
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining('-- --fresh') })
  })

  test('says in one sentence that there is no npm', async () => {
    cpSync(join(root, 'infra/local/bootstrap'), join(repo, 'infra/local/bootstrap'), {
      recursive: true,
    })
    cpSync(join(root, 'infra/local/bootstrap.mjs'), join(repo, 'infra/local/bootstrap.mjs'))
    rmSync(join(repo, 'node_modules'), { recursive: true })
    const { code, stderr } = await bootstrap(['start'], { PATH: '/nowhere' }, repo)
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining('npm is not on') })
    expect(stderr).not.toContain(' at ')
  })
})

function bootstrap(
  args: string[],
  env: Record<string, string> = {},
  at = root,
): Promise<{ code: unknown; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const file = join(at, 'infra/local/bootstrap.mjs')
    const options = { env: { ...process.env, ...env } }
    execFile(process.execPath, [file, ...args], options, (error, stdout, stderr) => {
      resolve({ code: error ? error.code : 0, stdout, stderr })
    })
  })
}
