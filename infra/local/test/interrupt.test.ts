import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
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
beforeAll(async () => {
  place = await choosePlace()
})
afterAll(async () => {
  await runToEnd(place, 'stop')
  place.remove()
})

/** Ctrl-C as it arrives through npm: from the terminal, and again from npm. */
async function pressCtrlC(run: Run): Promise<void> {
  run.kill('SIGINT')
  await delay(3)
  run.kill('SIGINT')
}

/** Ends the start at this moment, and expects that nothing of it is left. */
async function interrupt(args: string[], moment: (run: Run) => Promise<unknown>): Promise<void> {
  const run = launch(place, 'start', args)
  await moment(run)
  await pressCtrlC(run)
  // Before the command is under way, Ctrl-C ends Node itself.
  const code = await run.ended
  if (code !== 'SIGINT') expect({ code, output: run.output() }).toMatchObject({ code: 0 })
  await expectNothingLeft(place)
}

const saying = (what: string | RegExp) => (run: Run) => run.says(what)

describe('R5 Ctrl-C leaves nothing running', { timeout: 90_000 }, () => {
  test.each([
    ['while the database cluster is made', ['--fresh'], saying('Making a PostgreSQL')],
    ['once the databases are up', ['--fresh'], saying('the databases are up')],
    ['while services start', [], saying('Starting the services')],
    ['when a service has begun to listen', [], saying('listening on')],
  ])('%s', async (_when, args, moment) => {
    await interrupt(args, moment)
    expect(processesOf(place)).toEqual([])
  })

  test('at random moments, and the next start succeeds', async () => {
    const seed = Math.floor(Math.random() * 1_000_000)
    console.log(`moments from the seed ${seed}`)
    for (const moment of [1, 2, 3]) {
      const afterMs = ((seed * moment * 7_919) % 3_000) + 50
      await interrupt([], () => delay(afterMs))
    }
    const run = launch(place, 'start')
    await run.says(readyLine(place))
    await pressCtrlC(run)
    expect(await run.ended).toBe(0)
    await expectNothingLeft(place)
  })

  test('nor does a kill -9 on the way, once it was started again', async () => {
    const killed = launch(place, 'start')
    await killed.says('Starting the services')
    killed.kill('SIGKILL')
    await killed.ended
    const run = launch(place, 'start')
    await run.says(readyLine(place))
    expect(run.output()).toContain('left running')
    await pressCtrlC(run)
    expect(await run.ended).toBe(0)
    await expectNothingLeft(place)
  })

  test('nor does a closed terminal', async () => {
    const run = launch(place, 'start')
    await run.says('Starting the services')
    run.kill('SIGHUP')
    expect(await run.ended).toBe(0)
    await expectNothingLeft(place)
  })
})
