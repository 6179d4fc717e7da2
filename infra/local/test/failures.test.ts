import { eventually } from '@wattle/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { failOver, masterPort, pidOf, roleOf } from './redis-query.ts'
import {
  choosePlace,
  expectNothingLeft,
  launch,
  processesOf,
  readyLine,
  runToEnd,
  type Place,
  type Run,
} from './stack.ts'

let place: Place
let run: Run
beforeAll(async () => {
  place = await choosePlace()
  run = launch(place, 'start')
  await run.says(readyLine(place))
})
afterAll(async () => {
  await runToEnd(place, 'stop')
  place.remove()
})

describe('R5 what ends is started again, and it is said', { timeout: 60_000 }, () => {
  test('a service that was killed answers again', async () => {
    const url = `http://127.0.0.1:${place.ports.services['billing']}/readyz`
    killProcess(processOf('/apps/billing/'))
    await run.says(/billing ended \(SIGKILL\); it is started again in 0\.2 s/)
    await run.says(/billing is ready again/)
    expect((await fetch(url)).status).toBe(200)
  })

  test('a Redis master that was killed comes back as a replica of the one that took over', async () => {
    const killed = await masterPort(place, 'cache')
    killProcess(await pidOf(place, killed))
    await run.says(new RegExp(`port ${killed}\\) runs again as a replica of cache-`))
    expect(await masterPort(place, 'cache')).not.toBe(killed)
    expect(await roleOf(place, killed)).toBe('slave')
    expect(await roleOf(place, await masterPort(place, 'cache'))).toBe('master')
  })

  test('a Sentinel that was killed comes back', async () => {
    const port = place.ports.sentinels[2] ?? 0
    killProcess(await pidOf(place, port))
    await run.says(/Sentinel sentinel-3 .* runs again/)
    expect(await pidOf(place, port)).toBeGreaterThan(0)
  })

  test('a PostgreSQL that was killed comes back, and the services find it again', async () => {
    killProcess(processOf('postgres -D '))
    await run.says(/PostgreSQL ended; it is started again/)
    await run.says('PostgreSQL runs again')
    const gateway = `http://127.0.0.1:${place.ports.services['gateway']}`
    await eventually(
      async () => expect((await fetch(`${gateway}/api/providers`)).status).toBe(200),
      {
        withinMs: 15_000,
        everyMs: 200,
      },
    )
  })
})

describe('R5 after a full stop', { timeout: 60_000 }, () => {
  test('the masters are those that the Sentinels had agreed on, not those of the templates', async () => {
    await failOver(place, 'cache')
    const state = await failOver(place, 'state')
    const cache = await masterPort(place, 'cache')
    run.kill('SIGINT')
    expect(await run.ended).toBe(0)
    await expectNothingLeft(place)

    run = launch(place, 'start')
    await run.says(readyLine(place))
    expect(await masterPort(place, 'cache')).toBe(cache)
    expect(await masterPort(place, 'state')).toBe(state)
    expect(await roleOf(place, cache)).toBe('master')
    expect(await roleOf(place, state)).toBe('master')
  })
})

function processOf(part: string): number {
  const found = processesOf(place).filter((text) => text.includes(part))
  if (found.length !== 1) throw new Error(`${part}: ${found.join('\n') || 'no such process'}`)
  return Number.parseInt(found[0] ?? '', 10)
}

function killProcess(pid: number): void {
  process.kill(pid, 'SIGKILL')
}
