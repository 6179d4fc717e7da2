import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

const program = fileURLToPath(new URL('../../../docs/model/check.sh', import.meta.url))
const missing = ['spin', 'cpp', 'cc', 'awk'].filter(
  (name) => spawnSync('which', [name]).status !== 0,
)

describe('C12 the model of the coherence protocol', () => {
  test('a name that is no configuration is refused', () => {
    const { status, stderr } = spawnSync(program, ['nothing'], { encoding: 'utf8' })
    expect(stderr).toBe('There is no configuration "nothing".\n')
    expect(status).toBe(2)
  })

  if (missing.length > 0) {
    console.log(`The model is not searched here: ${missing.join(', ')} missing.`)
    return
  }

  test('holds, and breaks wherever a rule is left out', () => {
    const { status, stdout, stderr } = spawnSync(program, ['--short'], { encoding: 'utf8' })
    expect(stderr).toBe('')
    expect(stdout).not.toMatch(/EXPECTED|unknown/)
    expect(stdout.match(/^holds/gm)?.length).toBeGreaterThan(2)
    expect(stdout.match(/^breaks/gm)?.length).toBeGreaterThan(6)
    expect(status).toBe(0)
  }, 300_000)
})
