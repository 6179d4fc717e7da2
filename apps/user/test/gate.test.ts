import { AppError } from '@wattle/contracts'
import { describe, expect, test } from 'vitest'
import { createGate } from '../src/gate.ts'

const isTurnedAway = (error: unknown) =>
  error instanceof AppError && error.code === 'TOO_MANY_REQUESTS' && error.retryAfterSeconds === 2

const failing = () => Promise.reject(new Error('failed'))

/** A task that runs until the test ends it. */
function held() {
  const { promise, resolve } = Promise.withResolvers<void>()
  const task = {
    running: false,
    end: resolve,
    work: (): Promise<void> => {
      task.running = true
      return promise
    },
  }
  return task
}

describe('T7 bounded concurrency', () => {
  test('no more than allowed run at once, the others in the order they came', async () => {
    const gate = createGate({ concurrency: 2, maxWaiting: 10 })
    const tasks = [held(), held(), held(), held()]
    const ends = tasks.map((task) => gate.run(task.work))
    await Promise.resolve()
    expect(tasks.map(({ running }) => running)).toEqual([true, true, false, false])
    tasks[1]?.end()
    await ends[1]
    await expect.poll(() => tasks.map(({ running }) => running)).toEqual([true, true, true, false])
    tasks[0]?.end()
    await ends[0]
    await expect.poll(() => tasks[3]?.running).toBe(true)
    tasks[2]?.end()
    tasks[3]?.end()
    await Promise.all(ends)
  })

  test('past the bound on waiting callers are turned away at once, and told when to come back', async () => {
    const gate = createGate({ concurrency: 1, maxWaiting: 1 })
    const [first, second] = [held(), held()]
    const ends = [gate.run(first.work), gate.run(second.work)]
    await expect(gate.run(() => Promise.resolve())).rejects.toSatisfy(isTurnedAway)
    first.end()
    second.end()
    await Promise.all(ends)
    expect(await gate.run(() => Promise.resolve('free again'))).toBe('free again')
  })

  test('who gives up leaves the queue, and its task never runs', async () => {
    const gate = createGate({ concurrency: 1, maxWaiting: 1 })
    const [first, second, third] = [held(), held(), held()]
    const running = gate.run(first.work)
    const leaving = new AbortController()
    const given = gate.run(second.work, leaving.signal)
    leaving.abort(new Error('the deadline has passed'))
    await expect(given).rejects.toThrow('the deadline has passed')
    const ends = [running, gate.run(third.work)]
    first.end()
    third.end()
    await Promise.all(ends)
    expect(second.running).toBe(false)
  })

  test('who gave up before does not even wait', async () => {
    const gate = createGate({ concurrency: 1, maxWaiting: 1 })
    const task = held()
    const gone = AbortSignal.abort(new Error('gone'))
    await expect(gate.run(task.work, gone)).rejects.toThrow('gone')
    expect(task.running).toBe(false)
  })

  test('a failing task frees its place', async () => {
    const gate = createGate({ concurrency: 1, maxWaiting: 5 })
    const outcomes = await Promise.allSettled([1, 2, 3].map(() => gate.run(failing)))
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
    expect(await gate.run(() => Promise.resolve('free'))).toBe('free')
  })
})
