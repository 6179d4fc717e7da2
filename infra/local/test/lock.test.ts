import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { spawn } from 'node:child_process'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { acquireLock, lockHolder, type HeldLock } from '../bootstrap/lock.mjs'
import { identify } from '../bootstrap/processes.mjs'

const directory = mkdtempSync(join(tmpdir(), 'wattle-lock-'))
const file = join(directory, 'lock')
beforeEach(() => rmSync(file, { force: true }))
afterAll(() => rmSync(directory, { recursive: true }))

async function acquired(): Promise<HeldLock> {
  const lock = await acquireLock(file, { note: 'a test' })
  if (!lock.acquired) throw new Error('the lock is held')
  return lock
}

/** A lock file as a process that is gone left it. */
function leave(holders: object[]): void {
  writeFileSync(file, JSON.stringify({ token: 'old', holders, since: '', note: '' }))
}

describe('the lock that makes one stack of a home', () => {
  test('is given to one, and tells the others who has it, until it is released', async () => {
    const lock = await acquired()
    expect(await acquireLock(file)).toMatchObject({
      acquired: false,
      holder: { pid: process.pid },
      note: 'a test',
    })
    lock.release()
    expect(lockHolder(file)).toBeUndefined()
    expect(await acquireLock(file)).toMatchObject({ acquired: true })
  })

  test('of a killed process is taken over, by one of those who try at once', async () => {
    leave([{ pid: 2 ** 22 + 1, startedAt: 'before' }])
    const tries = await Promise.all(Array.from({ length: 8 }, () => acquireLock(file)))
    expect(tries.filter((one) => one.acquired)).toHaveLength(1)
  })

  test('is not taken for held when its process number now belongs to another process', async () => {
    leave([{ ...identify(process.pid), startedAt: 'an earlier life' }])
    expect(await acquireLock(file)).toMatchObject({ acquired: true })
  })

  test('whose file was cut short is nobody’s', async () => {
    writeFileSync(file, '{"token":"x","hol')
    expect(await acquireLock(file)).toMatchObject({ acquired: true })
  })

  test('stays held while a second holder lives, such as the npm of a killed install', async () => {
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'])
    try {
      const lock = await acquired()
      lock.addHolder(child.pid ?? 0)
      const content = JSON.parse(readFileSync(file, 'utf8')) as { holders: object[] }
      leave([{ pid: 2 ** 22 + 1, startedAt: 'before' }, ...content.holders.slice(1)])
      expect(await acquireLock(file)).toMatchObject({ acquired: false, holder: { pid: child.pid } })
    } finally {
      child.kill('SIGKILL')
    }
  })

  test('released by one who lost it is left to the present holder', async () => {
    const lock = await acquired()
    leave([identify(process.pid)])
    lock.release()
    expect(lockHolder(file)).toMatchObject({ pid: process.pid })
  })
})
