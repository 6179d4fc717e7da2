import type { ServerResponse } from 'node:http'
import { eventually } from '@wattle/testkit'
import { describe, expect, test } from 'vitest'
import {
  forEachTest,
  refused,
  reset,
  startCaller,
  times,
  untilOpen,
  well,
  type World,
} from './circuit-world.ts'

let { server, caller, client } = {} as World
forEachTest((world) => ({ server, caller, client } = world))

/** Opens the circuit, and lets its time pass. */
async function untilHalfOpen(): Promise<void> {
  server.answer = reset
  await untilOpen(caller, () => client.write())
  caller.pass(1_000)
  expect(caller.state()).toBe('half-open')
  server.requests = 0
}

/** The server is well again, and answers as many probes as it takes. */
async function untilClosed(): Promise<void> {
  server.answer = well
  await times(3, async () => expect(await client.write()).toBe('answered'))
  expect(caller.state()).toBe('closed')
}

/** Keeps what arrives until it is answered. */
function hold() {
  const held: ServerResponse[] = []
  server.answer = (response) => void held.push(response)
  return held
}

describe('L6 half-open', () => {
  test('lets three probes through and refuses all others at once', async () => {
    await untilHalfOpen()
    const held = hold()
    const calls = Array.from({ length: 50 }, () => client.write())
    const outcomes = Promise.all(calls)
    await eventually(() => expect(held).toHaveLength(3))
    for (const call of calls.slice(3)) {
      expect(await call).toMatchObject({ ...refused, retryAfterSeconds: 1 })
    }
    expect([server.requests, caller.state()]).toEqual([3, 'half-open'])
    for (const response of held) well(response, response.req)
    expect((await outcomes).filter((outcome) => outcome === 'answered')).toHaveLength(3)
    expect(caller.state()).toBe('closed')
  })

  test('is not closed before every probe has succeeded', async () => {
    await untilHalfOpen()
    server.answer = well
    for (const after of ['half-open', 'half-open', 'closed']) {
      expect(await client.write()).toBe('answered')
      expect(caller.state()).toBe(after)
    }
  })

  test('a probe that fails opens it again, for twice as long, up to a bound', async () => {
    await untilHalfOpen()
    for (const openMs of [2_000, 4_000, 5_000, 5_000]) {
      await client.write()
      expect(caller.state()).toBe('open')
      expect(await client.write()).toMatchObject({ retryAfterSeconds: openMs / 1_000 })
      caller.pass(openMs - 500)
      expect(caller.state()).toBe('open')
      caller.pass(500)
      expect(caller.state()).toBe('half-open')
    }
    await untilClosed()
  })

  test('a probe whose caller goes away gives its place to another', async () => {
    await untilHalfOpen()
    for (let n = 0; n < 20; n++) {
      const leaving = new AbortController()
      server.answer = () => leaving.abort()
      await client.write({ signal: leaving.signal })
      expect(caller.state()).toBe('half-open')
    }
    expect(server.requests).toBe(20)
    await untilClosed()
  })

  test('a probe that is never answered opens it again when its time is over', async () => {
    await untilHalfOpen()
    server.answer = () => caller.pass(1_000)
    const hasty = caller.clientOf(server.url, 'notes', 200)
    expect(await hasty.write()).toMatchObject({ code: 'DEADLINE_EXCEEDED' })
    expect(caller.state()).toBe('open')
  })

  test('processes that saw the same failure do not probe in step', async () => {
    const times = await Promise.all(
      [0, 0.5, 1].map(async (random) => {
        const one = startCaller({ random: () => random })
        const calls = one.clientOf(server.url)
        server.answer = reset
        await untilOpen(one, () => calls.write())
        await one.close()
        return one.circuits.list()[0]?.retryInMs ?? 0
      }),
    )
    expect(times).toEqual([500, 750, 1_000])
  })
})

describe('L6 a service that is back', () => {
  test('is not met by everybody at once: calls under way grow with the answers', async () => {
    await untilHalfOpen()
    await untilClosed()

    const held = hold()
    let answered = 0
    let most = 0
    while (most < 64) {
      const calls = Array.from({ length: 100 }, () => client.write())
      const under = Math.min(100, answered + 3 >= 64 ? 100 : answered + 3)
      await eventually(() => expect(held).toHaveLength(under))
      most = Math.max(most, held.length)
      for (const response of held.splice(0)) well(response, response.req)
      const outcomes = await Promise.all(calls)
      expect(outcomes.filter((outcome) => outcome === 'answered')).toHaveLength(under)
      for (const outcome of outcomes) {
        if (outcome !== 'answered')
          expect(outcome).toMatchObject({ ...refused, retryAfterSeconds: 1 })
      }
      answered += under
    }
    expect(most).toBe(100)
  })

  test('serves any number again after ten seconds, also where few calls came', async () => {
    await untilHalfOpen()
    await untilClosed()
    caller.pass(10_000)
    const outcomes = await Promise.all(Array.from({ length: 100 }, () => client.write()))
    expect(outcomes.filter((outcome) => outcome !== 'answered')).toEqual([])
  })

  test('is not blamed for calls that hung since before', async () => {
    const held = hold()
    const hanging = Array.from({ length: 20 }, () => client.write())
    await eventually(() => expect(held).toHaveLength(20))
    server.answer = reset
    await untilOpen(caller, () => client.write())
    caller.pass(1_000)
    await untilClosed()
    for (const { req } of held) req.socket.resetAndDestroy()
    for (const outcome of await Promise.all(hanging)) expect(outcome).not.toBe('answered')
    expect(caller.state()).toBe('closed')
    expect(await client.write()).toBe('answered')
  })

  test('and dies again soon is left alone for longer', async () => {
    await untilHalfOpen()
    await untilClosed()
    server.answer = reset
    await untilOpen(caller, () => client.write())
    expect(await client.write()).toMatchObject({ retryAfterSeconds: 2 })
  })
})
