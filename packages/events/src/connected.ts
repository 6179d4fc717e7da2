import type { RedisClient } from '@wattle/redis'

/** Resolves when the client can take commands; rejects when it cannot after `withinMs`. */
export function connected(client: RedisClient, withinMs = 2_000): Promise<void> {
  if (client.status === 'ready') return Promise.resolve()
  return new Promise((resolve, reject) => {
    const settle = (end: () => void) => {
      clearTimeout(timer)
      client.off('ready', onReady)
      end()
    }
    const onReady = () => settle(resolve)
    const timer = setTimeout(() => {
      settle(() => reject(new Error('there is no connection to Redis')))
    }, withinMs)
    client.on('ready', onReady)
  })
}
