import { randomInt } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { runMoney } from '../chaos/money.ts'

describe('R2 S2 payments while services and Redis masters are killed and frozen', () => {
  test('each bill is charged once, and both books, the processor and the clients agree', async () => {
    const seed = Number(process.env['MONEY_SEED'] ?? randomInt(1_000_000))
    const report = await runMoney({ payments: 200, clients: 20, seed, say: () => {} })
    console.log(JSON.stringify(report))
    expect(report.violations).toEqual([])
    expect(report.payments['succeeded']).toBeGreaterThan(20)
  }, 240_000)
})
