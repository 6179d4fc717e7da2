import { spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { identifyProcess } from '@wattle/servers'
import { eventually } from '@wattle/testkit'

const fixture = fileURLToPath(new URL('fixtures/leak.ts', import.meta.url))
const temporary = mkdtempSync(join(tmpdir(), 'left-'))
// PostgreSQL's account must be able to reach its data in there.
chmodSync(temporary, 0o755)
afterAll(() => rmSync(temporary, { recursive: true, force: true }))

/** Runs the fixture until it has said which servers it started. */
async function startLeaking(argument: string) {
  const child = spawn(process.execPath, [fixture, argument], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, TMPDIR: temporary },
  })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  const line = await new Promise<string>((resolve, reject) => {
    child.stdout.setEncoding('utf8').once('data', resolve)
    child.once('exit', () => reject(new Error('the fixture ended early')))
  })
  const pids = JSON.parse(line) as number[]
  return { child, ended, pids }
}

const runs = { 'is killed with -9': 'stay', 'exits without stopping them': 'exit' }

describe('servers of a test process', () => {
  it.each(Object.entries(runs))(
    'are gone with their files when it %s',
    async (_, argument) => {
      const { child, ended, pids } = await startLeaking(argument)
      expect(pids).toHaveLength(10)
      if (argument === 'stay') child.kill('SIGKILL')
      await ended
      await eventually(
        () => {
          expect(pids.filter((pid) => identifyProcess(pid))).toEqual([])
          // The PostgreSQL of this run's own temporary directory goes last, after a pause.
          expect(readdirSync(temporary)).toEqual([])
        },
        { withinMs: 20_000, everyMs: 100 },
      )
    },
    60_000,
  )
})
