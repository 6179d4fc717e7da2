import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { choosePlace, expectNothingLeft, launch, runToEnd, type Place } from './stack.ts'

let place: Place
beforeAll(async () => {
  place = await choosePlace()
})
afterAll(async () => {
  await runToEnd(place, 'stop')
  place.remove()
})

describe('R3 one wrong value', { timeout: 60_000 }, () => {
  test('of a service ends the start with its sentence, and nothing is left running', async () => {
    const env = { WATTLE_ACCESS_SIGNING_KEY: 'not a key' }
    const { code, output } = await runToEnd(place, 'start', [], env)
    expect(code).toBe(1)
    expect(output).toMatch(/WATTLE_ACCESS_SIGNING_KEY cannot be used/)
    expect(output).toContain('The configuration of user is wrong')
    expect(output).not.toContain('not a key')
    await expectNothingLeft(place)
  })

  test.each([
    [{ WATTLE_CACHE_PORT_BASE: 'many' }, 'WATTLE_CACHE_PORT_BASE must be a port'],
    [{ WATTLE_STATE_PORT_BASE: '3000', WATTLE_HTTP_PORT_BASE: '3000' }, 'Port 3000 would serve'],
    [{ DATABASE_URL_USER: 'postgresql://nobody@127.0.0.1:9/user' }, 'DATABASE_URL_USER'],
    [{ WATTLE_REDIS_SERVER: '/nowhere/redis-server' }, 'WATTLE_REDIS_SERVER=/nowhere'],
  ])('of the stack itself (%o) is named', async (env, sentence) => {
    const { code, output } = await runToEnd(place, 'start', [], env)
    expect({ code, output }).toMatchObject({ code: 1, output: expect.stringContaining(sentence) })
    expect(output).not.toMatch(/\n\s+at /)
    await expectNothingLeft(place)
  })

  test('of the command line is named', async () => {
    const run = launch(place, 'start', ['--frehs'])
    expect(await run.ended).toBe(2)
    expect(run.output()).toContain("Unknown option '--frehs'")
  })
})
