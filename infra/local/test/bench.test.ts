import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { root } from '../src/home.ts'

describe('npm run bench', () => {
  test('--help tells the options and installs nothing', async () => {
    const { code, stdout } = await bench('--help')
    expect(code).toBe(0)
    for (const word of ['npm run bench', '--quick', '--rounds', '--group', '--trace']) {
      expect(stdout).toContain(word)
    }
  })

  test.each([
    ['a name that is none, with the names there are', ['nonsense'], ['"nonsense"', 'cache']],
    ['a number of rounds that is none', ['cache', '--rounds', 'many'], ['--rounds', '"many"']],
    ['an option that is none', ['cache', '--fast'], ['--fast']],
  ])('refuses %s', async (_, args, words) => {
    const { code, stdout, stderr } = await bench(...args)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).not.toContain('    at ')
    for (const word of words) expect(stderr).toContain(word)
  })
})

function bench(...args: string[]): Promise<{ code: unknown; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const file = join(root, 'infra/local/bootstrap.mjs')
    execFile(process.execPath, [file, 'bench', ...args], (error, stdout, stderr) => {
      resolve({ code: error ? error.code : 0, stdout, stderr })
    })
  })
}
