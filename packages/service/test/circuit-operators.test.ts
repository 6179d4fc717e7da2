import { createRegistry } from '@wattle/service'
import { describe, expect, test } from 'vitest'
import {
  forEachTest,
  frozen,
  reset,
  times,
  untilOpen,
  well,
  withProblem,
  type World,
} from './circuit-world.ts'
import { ask, startApp } from './support.ts'

const lines: { level: string; message: string; fields: object }[] = []
const registry = () => createRegistry('reader')
let metrics: ReturnType<typeof registry>
let { server, caller, client } = {} as World
forEachTest(
  (world) => ({ server, caller, client } = world),
  () => {
    lines.length = 0
    metrics = registry()
    const write = (level: string) => (fields: object, message: string) =>
      void lines.push({ level, message, fields })
    return { registry: metrics, log: { info: write('info'), warn: write('warn') } }
  },
)

async function failAndRecover(steps: Record<'open' | 'half-open' | 'closed', () => unknown>) {
  server.answer = reset
  await untilOpen(caller, () => client.write())
  await steps.open()
  caller.pass(1_000)
  await steps['half-open']()
  server.answer = well
  await times(3, () => client.write())
  await steps.closed()
}

describe('L6 operators see', () => {
  test('the state of each circuit in the metrics, also when nobody calls', async () => {
    const shows = (state: number) => async () =>
      expect(await metrics.metrics()).toContain(
        `wattle_http_client_circuit_state{target="notes",service="reader"} ${state}`,
      )
    await shows(0)()
    await failAndRecover({ open: shows(2), 'half-open': shows(1), closed: shows(0) })
  })

  test('what became of every request', async () => {
    await client.write()
    server.answer = withProblem(404, 'NOT_FOUND')
    await client.write()
    server.answer = frozen
    await client.write({ timeoutMs: 20 })
    const hasty = caller.clientOf(server.url, 'notes', 200)
    server.answer = () => caller.pass(1_000)
    await hasty.write()
    server.answer = reset
    await untilOpen(caller, () => client.write())
    await client.write()
    await client.write()
    const text = await metrics.metrics()
    const counted = Object.fromEntries(
      [...text.matchAll(/requests_total\{target="notes",result="(\w+)",.*\} (\d+)/g)].map(
        ([, result, count]) => [result, Number(count)],
      ),
    )
    expect(counted).toEqual({ answered: 2, abandoned: 1, timed_out: 1, failed: 4, rejected: 2 })
  })

  test('one line when it opens, with the cause, and one when it is closed again', async () => {
    await failAndRecover({
      open: () => undefined,
      async 'half-open'() {
        await client.write()
        caller.pass(2_000)
      },
      closed: () => undefined,
    })
    const { origin } = new URL(server.url)
    expect(lines).toMatchObject([
      { level: 'warn', message: 'circuit opened', fields: { target: 'notes', origin } },
      { level: 'info', message: 'circuit closed', fields: { target: 'notes', origin } },
    ])
    expect(lines[0]?.fields).toHaveProperty('err.code', expect.stringMatching(/ECONNRESET|SOCKET/))
  })

  test('its state in the process', async () => {
    const first = () => caller.circuits.list()[0]
    expect(first()).toEqual({
      service: 'notes',
      origin: server.url,
      state: 'closed',
      recent: { calls: 0, failed: 0 },
      retryInMs: undefined,
    })
    await client.write()
    server.answer = reset
    await client.write()
    expect(first()).toMatchObject({ recent: { calls: 2, failed: 1 } })
    await untilOpen(caller, () => client.write())
    caller.pass(400)
    expect(first()).toMatchObject({ state: 'open', retryInMs: 600 })
  })

  test('it in /readyz, as degraded and never as unready', async () => {
    await using app = await startApp(undefined, { checks: caller.circuits.checks() })
    const shows = (state: string) => async () => {
      const { status, text } = await ask(`${app.url}/readyz`)
      expect([status, JSON.parse(text)]).toMatchObject([200, { checks: { notes: state } }])
    }
    await shows('ok')()
    await failAndRecover({
      open: shows('degraded'),
      'half-open': shows('degraded'),
      closed: shows('ok'),
    })
  })
})
