/**
 * One process of a fleet, as a child of the test. It is told by messages what to do, and answers each with its number:
 * `read` (through a loader that announces its start, waits `loadMs`, and returns or throws `word`), `tier`, `statistics`.
 */
import { connectRedis, keySpace } from '@wattle/redis'
import { createCache } from '../../src/index.ts'

export type Order =
  | { at: number; do: 'read'; key: string; word: string; loadMs: number; fails?: boolean }
  | { at: number; do: 'synchronized' }
  | { at: number; do: 'tier'; key: string; word: string }
export type Answer = { at: number; value?: unknown; error?: string } | { began: string }

const [url = '', service = ''] = process.argv.slice(2)
const redis = connectRedis({ url, name: service })
const keys = keySpace({ environment: 'test', service })
const log = { info() {}, warn() {}, error() {} }
const cache = createCache({ redis, keys, log })
const words = cache.kind<string>('word', { ttl: '10m' })
const tell = (answer: Answer) => process.send?.(answer)

async function obey(order: Order): Promise<unknown> {
  if (order.do === 'synchronized') return cache.synchronized
  const { key, word } = order
  if (order.do === 'tier') {
    const { tier, value } = await words.read(key, () => word)
    return `${tier} ${value}`
  }
  return words.getOrSet(key, async () => {
    tell({ began: key })
    await new Promise((resolve) => setTimeout(resolve, order.loadMs))
    if (order.fails) throw new Error(word)
    return word
  })
}

process.on('message', (order: Order) => {
  obey(order).then(
    (value) => tell({ at: order.at, value }),
    (cause: unknown) => tell({ at: order.at, error: String(cause) }),
  )
})
process.on('disconnect', () => process.exit())
