import { spawn } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import {
  isRunning,
  readProcessRecord,
  sendSignal,
  stopRecorded,
  writeProcessRecord,
} from '@wattle/servers'
import { temporary, until } from './support.ts'

function sleeper(script = 'exec sleep 600') {
  const child = spawn('/bin/sh', ['-c', script], { stdio: ['ignore', 'pipe', 'ignore'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  return child
}

describe('a process record', () => {
  it('is found again while its process runs, and not afterwards', async () => {
    const file = join(temporary(), 'pid.json')
    const child = sleeper()
    const record = writeProcessRecord(file, child.pid ?? 0)
    expect(readProcessRecord(file)).toEqual(record)
    child.kill('SIGKILL')
    await until(() => readProcessRecord(file) === undefined)
  })

  it('is not taken for a later process with the same id', () => {
    const child = sleeper()
    const reused = { pid: child.pid ?? 0, startedAt: 'another time' }
    expect(isRunning(reused)).toBe(false)
    expect(sendSignal(reused, 'SIGKILL')).toBe(false)
    expect(child.killed || child.exitCode !== null).toBe(false)
  })

  it.each(['', '{', '{"pid":1}', '{"pid":-1,"startedAt":""}'])('that reads %j is none', (text) => {
    const file = join(temporary(), 'pid.json')
    writeFileSync(file, text)
    expect(readProcessRecord(file)).toBeUndefined()
  })

  it('stops its process, and removes itself', async () => {
    const file = join(temporary(), 'pid.json')
    const record = writeProcessRecord(file, sleeper().pid ?? 0)
    expect(await stopRecorded(file)).toBe(true)
    expect(record && isRunning(record)).toBe(false)
    expect(existsSync(file)).toBe(false)
    expect(await stopRecorded(file)).toBe(false)
  })

  it('stops a process that is frozen, and one that ignores the request', async () => {
    const file = join(temporary(), 'pid.json')
    const frozen = sleeper()
    frozen.kill('SIGSTOP')
    writeProcessRecord(file, frozen.pid ?? 0)
    expect(await stopRecorded(file)).toBe(true)

    const stubborn = sleeper(`trap '' TERM; echo ready; while :; do sleep 0.1; done`)
    await new Promise((resolve) => stubborn.stdout.once('data', resolve))
    const record = writeProcessRecord(file, stubborn.pid ?? 0)
    expect(await stopRecorded(file, { withinMs: 200 })).toBe(true)
    expect(record && isRunning(record)).toBe(false)
  })
})
