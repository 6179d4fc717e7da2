import { chmodSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { findRedisServer } from '@wattle/servers'
import { temporary } from './support.ts'

const packages = spawnSync('dpkg-deb', ['--version']).status === 0 ? ['Debian'] : []
if (packages.length === 0) console.log('unpacking packages is not tested here: no dpkg-deb')

function program(file: string, body: string): void {
  writeFileSync(file, `#!/bin/sh\n${body}\n`)
  chmodSync(file, 0o755)
}

/**
 * A machine with dpkg, and with an apt that has one package and notes what it is asked. What it
 * answers with the system's package index is given; with an index of our own it works.
 */
function machine(withSystemIndex: string) {
  const root = temporary()
  const [bin, build, notes] = [join(root, 'bin'), join(root, 'build'), join(root, 'notes')]
  mkdirSync(join(build, 'DEBIAN'), { recursive: true })
  mkdirSync(join(build, 'usr/bin'), { recursive: true })
  mkdirSync(bin)
  writeFileSync(
    join(build, 'DEBIAN/control'),
    'Package: redis-server\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nDescription: none\n',
  )
  program(
    join(build, 'usr/bin/redis-server'),
    'echo "Redis server v=7.0.15 sha=00000000:0 bits=64"',
  )
  const archive = join(root, 'redis-server.deb')
  expect(spawnSync('dpkg-deb', ['--build', build, archive]).status).toBe(0)
  program(
    join(bin, 'apt-get'),
    `echo "$*" >> '${notes}'
     case "$*" in *--version*) exit 0 ;; *Dir::State::lists*) ;; *) ${withSystemIndex} ;; esac
     case "$*" in
       *--simulate*) echo 'Inst redis-server (1 stable)'; echo 'Inst perl (1 stable)' ;;
       *download*) cp '${archive}' . ;;
     esac`,
  )
  return {
    bin,
    asked: () => readFileSync(notes, 'utf8'),
    find: (workDir: string) =>
      findRedisServer({ workDir, sources: ['debian'], env: { PATH: `${bin}:/usr/bin:/bin` } }),
  }
}

describe.each(packages)('Redis from %s packages', () => {
  it('is unpacked under the working directory, with nothing but itself and libraries', async () => {
    const workDir = temporary()
    const { find, asked } = machine(':')
    const found = await find(workDir)
    expect(found).toMatchObject({ version: '7.0.15', source: 'Debian packages' })
    expect(found.command.startsWith(workDir)).toBe(true)
    expect(asked()).toMatch(/ download redis-server$/m)
  })

  it('needs neither apt nor network the second time, even when the folder was moved', async () => {
    const before = temporary()
    const { find, bin } = machine(':')
    await find(before)
    program(join(bin, 'apt-get'), 'exit 1')
    const after = join(temporary(), 'elsewhere')
    cpSync(before, after, { recursive: true })
    rmSync(before, { recursive: true })
    expect((await find(after)).command.startsWith(after)).toBe(true)
  })

  it('comes through an index of our own when the system has none', async () => {
    const workDir = temporary()
    const { find, asked } = machine(`case "$*" in *--simulate*) exit 100 ;; esac`)
    expect(await find(workDir)).toMatchObject({ version: '7.0.15' })
    expect(asked()).toContain(`Dir::State::lists=${workDir}`)
  })

  it('comes through an index of our own when the system names a version that is gone', async () => {
    const { find } = machine(`case "$*" in *download*) exit 100 ;; esac`)
    expect(await find(temporary())).toMatchObject({ version: '7.0.15' })
  })

  it('is unpacked anew when what was unpacked does not run any more', async () => {
    const workDir = temporary()
    const { find } = machine(':')
    program((await find(workDir)).command, 'exit 127')
    expect(await find(workDir)).toMatchObject({ version: '7.0.15' })
  })

  it('says what apt said when it cannot be had', async () => {
    const { bin, find } = machine(':')
    program(
      join(bin, 'apt-get'),
      `case "$*" in *--version*) ;; *) echo 'no way' >&2; exit 100 ;; esac`,
    )
    await expect(find(temporary())).rejects.toThrow('apt-get: no way')
  })
})
