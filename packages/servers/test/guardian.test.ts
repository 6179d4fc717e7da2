import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, onTestFinished } from 'vitest'
import { identifyProcess } from '@wattle/servers'
import { temporary, until } from './support.ts'

const fixture = fileURLToPath(new URL('fixtures/leave.ts', import.meta.url))

describe('the guardian of a process that is killed with -9', () => {
  it.each(['the process', 'its whole process group'])(
    'kills its wards and removes its directories, when the kill hits %s',
    async (target) => {
      const directory = join(temporary(), "it's here")
      mkdirSync(directory)
      writeFileSync(join(directory, 'file'), '')
      const child = spawn(process.execPath, [fixture, directory], {
        stdio: ['ignore', 'pipe', 'inherit'],
        detached: true,
      })
      const line = await new Promise<string>((resolve) => {
        child.stdout.setEncoding('utf8').once('data', resolve)
      })
      const { guarded, frozen, released } = JSON.parse(line) as Record<string, number>
      const runs = (pid = 0) => identifyProcess(pid) !== undefined
      onTestFinished(() => void (released && runs(released) && process.kill(released, 'SIGKILL')))
      expect([guarded, frozen, released].map(runs)).toEqual([true, true, true])

      const pid = child.pid ?? 0
      process.kill(target === 'the process' ? pid : -pid, 'SIGKILL')
      await until(() => !runs(guarded) && !runs(frozen) && !existsSync(directory))
      expect(runs(released)).toBe(true)
    },
  )
})
