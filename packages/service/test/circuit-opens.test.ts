import { describe, expect, test } from 'vitest'
import {
  forEachTest,
  frozen,
  refused,
  reset,
  startServer,
  times,
  untilOpen,
  well,
  withProblem,
  withStatus,
  type World,
} from './circuit-world.ts'

let { server, caller, client } = {} as World
forEachTest((world) => ({ server, caller, client } = world))

describe('L6 a service that does not answer is not asked any more', () => {
  test('dead: five failed calls open the circuit, and what is refused then was certainly not sent', async () => {
    await server.die()
    for (let n = 0; n < 5; n++) {
      expect(caller.state()).toBe('closed')
      const error = await client.write()
      expect(error).toMatchObject({ code: 'UNAVAILABLE', message: /cannot be reached/ })
    }
    expect(caller.state()).toBe('open')
    await server.restart()
    for (let n = 0; n < 20; n++) {
      expect(await client.write()).toMatchObject({ ...refused, retryAfterSeconds: 1 })
    }
    expect(server.requests).toBe(0)
  })

  test('frozen: after five time-outs nobody waits', async () => {
    server.answer = () => caller.pass(1_000)
    const hasty = caller.clientOf(server.url, 'notes', 200)
    const waited = await Promise.all(Array.from({ length: 5 }, () => hasty.write()))
    for (const error of waited) expect(error).toMatchObject({ code: 'DEADLINE_EXCEEDED' })
    expect(caller.state()).toBe('open')
    expect(await client.write()).toMatchObject(refused)
    expect(server.requests).toBe(5)
  })

  test('frozen in the middle of a reply: likewise', async () => {
    server.answer = (response) => {
      caller.pass(1_000)
      response.writeHead(200, { 'content-type': 'application/json' }).write('{"id":')
    }
    const hasty = caller.clientOf(server.url, 'notes', 200)
    await Promise.all(Array.from({ length: 5 }, () => hasty.write()))
    expect(caller.state()).toBe('open')
  })

  test.each([
    ['a reset connection', reset],
    ['502 of a proxy', withStatus(502)],
    ['503 of a load balancer', withStatus(503)],
    ['502 as a problem', withProblem(502, 'BAD_GATEWAY')],
    ['503 as a problem', withProblem(503, 'UNAVAILABLE')],
  ])('that gives %s opens it', async (_name, answer) => {
    server.answer = answer
    await times(4, () => client.write())
    expect(caller.state()).toBe('closed')
    await client.write()
    expect(caller.state()).toBe('open')
  })

  test('504 opens it when the service had the time to answer', async () => {
    server.answer = withProblem(504, 'DEADLINE_EXCEEDED')
    await times(20, () => client.write())
    expect(caller.state()).toBe('closed')
    server.answer = (response, request) => {
      caller.pass(1_000)
      withProblem(504, 'DEADLINE_EXCEEDED')(response, request)
    }
    await times(5, () => client.write())
    expect(caller.state()).toBe('open')
  })

  test('flapping: half of the calls failing open it, a third does not', async () => {
    let n = 0
    server.answer = (...call) => (++n % 3 === 0 ? reset : well)(...call)
    await times(150, () => client.write())
    expect(caller.state()).toBe('closed')
    server.answer = (...call) => (++n % 2 === 0 ? reset : well)(...call)
    await times(150, () => client.write())
    expect(caller.state()).toBe('open')
  })

  test('failures that lie far apart are never added up', async () => {
    server.answer = reset
    for (let n = 0; n < 20; n++) {
      await client.write()
      caller.pass(3_000)
    }
    expect(caller.state()).toBe('closed')
  })

  test('a repetition is not sent to a circuit that the first attempt opened, and the caller learns why', async () => {
    server.answer = withStatus(503)
    await times(4, () => client.write())
    const error = await client.get()
    expect(error).toMatchObject({ code: 'UNAVAILABLE', cause: { message: /answered 503/ } })
    expect(server.requests).toBe(5)
  })
})

describe('L6 what is no fault of the service never opens the circuit', () => {
  test.each([
    ['400', withProblem(400, 'BAD_REQUEST')],
    ['401', withProblem(401, 'UNAUTHENTICATED')],
    ['404', withProblem(404, 'NOT_FOUND')],
    ['409', withProblem(409, 'VERSION_CONFLICT')],
    ['429', withProblem(429, 'TOO_MANY_REQUESTS')],
    ['500', withProblem(500, 'INTERNAL')],
    ['a reply that is not in the contract', withStatus(200, 'hello')],
    ['far too much', withStatus(200, 'x'.repeat(2_000_000))],
  ])('%s', async (_name, answer) => {
    server.answer = answer
    await times(20, () => client.write())
    expect(caller.state()).toBe('closed')
    expect(server.requests).toBe(20)
  })

  test('a caller that goes away', async () => {
    for (let n = 0; n < 20; n++) {
      const leaving = new AbortController()
      server.answer = () => {
        caller.pass(5_000)
        leaving.abort()
      }
      expect(await client.write({ signal: leaving.signal })).not.toBe('answered')
    }
    expect([server.requests, caller.state()]).toEqual([20, 'closed'])
  })

  test('a caller that has hardly any time, however often it comes', async () => {
    server.answer = frozen
    await times(30, () => client.write({ timeoutMs: 20 }))
    expect(caller.state()).toBe('closed')
  })

  test('a request that cannot be sent', async () => {
    await times(20, () => client.write({ token: 'a\r\nb' }))
    expect([server.requests, caller.state()]).toEqual([0, 'closed'])
  })

  test('slowness, as long as the answers come in time', async () => {
    server.answer = (response, request) => {
      setTimeout(() => well(response, request), 1_100)
    }
    const answers = await Promise.all(Array.from({ length: 40 }, () => client.write()))
    expect([new Set(answers), caller.state()]).toEqual([new Set(['answered']), 'closed'])
  })
})

test('L6 the circuit of one service is not that of another, and clients of one service share it', async () => {
  const other = await startServer()
  const again = caller.clientOf(server.url)
  const elsewhere = caller.clientOf(other.url, 'letters')
  server.answer = reset
  await untilOpen(caller, () => client.write())
  expect(await again.write()).toMatchObject(refused)
  expect(await elsewhere.write()).toBe('answered')
  expect([caller.state('notes'), caller.state('letters')]).toEqual(['open', 'closed'])
  await other.die()
})
