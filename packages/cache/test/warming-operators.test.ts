import { eventually } from '@wattle/testkit'
import { describe, expect } from 'vitest'
import { createWarming, type WarmingJob } from '../src/index.ts'
import { test } from './setup.ts'

describe('W3 jobs are started and stopped by an operator', () => {
  test('what was stopped can be started again at once, and so can what was not running', async ({
    open,
  }) => {
    const { cache } = await open()
    let begun = 0
    const job: WarmingJob = {
      name: 'endless',
      find: (signal) => {
        begun++
        return new Promise((_, fail) => signal.addEventListener('abort', () => fail(signal.reason)))
      },
    }
    const warming = createWarming({ cache, jobs: [job] })
    await warming.stop('endless')
    for (const round of [1, 2]) {
      const run = warming.run('endless')
      await eventually(() => expect(begun).toBe(round))
      await warming.stop('endless')
      expect(await run).toMatchObject({ state: 'stopped' })
    }
    await warming.close()
    expect(await warming.status()).toMatchObject([
      { present: undefined, past: [{ state: 'stopped' }, { state: 'stopped' }] },
    ])
  })

  test('a run that is stopped before it has begun says so', async ({ open }) => {
    const { cache } = await open()
    const warming = createWarming({ cache, jobs: [{ name: 'job', find: () => [] }] })
    const run = warming.run('job')
    await warming.stop('job')
    expect(await run).toMatchObject({ state: 'stopped', found: 0 })
    await warming.close()
  })
})
