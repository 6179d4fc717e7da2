import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { withFileLock } from '@wattle/servers'
import { temporary } from './support.ts'

describe('a file lock', () => {
  it('lets one work at a time, and is released by a failure, too', async () => {
    const file = join(temporary(), 'lock')
    let inside = 0
    const work = async () => {
      expect(++inside).toBe(1)
      await new Promise((resolve) => setImmediate(resolve))
      inside--
    }
    await Promise.all(Array.from({ length: 5 }, () => withFileLock(file, work)))
    const failed = withFileLock(file, () => Promise.reject(new Error('broken')))
    await expect(failed).rejects.toThrow('broken')
    expect(existsSync(file)).toBe(false)
  })

  it('left by a process that is gone is broken', async () => {
    const file = join(temporary(), 'lock')
    writeFileSync(file, JSON.stringify({ pid: process.pid, startedAt: 'before the last boot' }))
    expect(await withFileLock(file, async () => 'in')).toBe('in')
  })

  it('held by a process that runs is not, and the wait has an end', async () => {
    const file = join(temporary(), 'lock')
    await withFileLock(file, async () => {
      const second = withFileLock(file, async () => 'in', { withinMs: 100 })
      await expect(second).rejects.toThrow('is held by another process')
    })
  })
})
