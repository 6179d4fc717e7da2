import { fixedWindow } from '../../src/index.ts'
import { openLimits, patient } from '../support/open.ts'

/** A process that takes from a leased limit as fast as it can, until refused, whenever it is told to; it says how much it got. */
const [url = '', service = '', size = ''] = process.argv.slice(2)
const { limits, redis } = openLimits(url, service, patient)
await redis.whenReady(10_000)
const limit = limits.define('shared', {
  policy: fixedWindow({ limit: 200, windowMs: 60_000 }),
  lease: { size: Number(size) },
})

process.on('message', (most: number) => {
  void (async () => {
    let admitted = 0
    while (admitted < most && (await limit.take(undefined)).allowed) admitted++
    process.send?.(admitted)
  })()
})
process.once('disconnect', () => process.exit(0))
process.send?.('ready')
