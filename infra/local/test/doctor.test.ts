import { createServer } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { choosePlace, runToEnd, type Place } from './stack.ts'

let place: Place
beforeAll(async () => {
  place = await choosePlace()
})
afterAll(() => place.remove())

describe('npm run doctor', () => {
  test('finds nothing in the way on a machine that runs these tests', async () => {
    const { code, output } = await runToEnd(place, 'doctor')
    expect({ code, output }).toMatchObject({ code: 0 })
    expect(output).toMatch(/fine +Redis \d/)
    expect(output).toMatch(/fine +PostgreSQL \d/)
    expect(output).toContain('Nothing is in the way')
  })

  test('names what blocks, with the fix', async () => {
    const server = createServer().listen(place.ports.services['user'], '127.0.0.1')
    const env = { WATTLE_REDIS_SERVER: '/nowhere/redis-server' }
    const { code, output } = await runToEnd(place, 'doctor', [], env)
    server.close()
    expect(code).toBe(1)
    expect(output).toMatch(/blocks +Port \d+ for the user service is taken by process \d+/)
    expect(output).toMatch(/blocks +WATTLE_REDIS_SERVER=\/nowhere/)
    expect(output).toContain('2 in the way of npm start.')
  })
})
