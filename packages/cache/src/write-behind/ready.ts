import type { RedisClient } from '@wattle/redis'

const readyWithinMs = 1_000

/** Resolves when the client can take commands; rejects when that takes too long. */
export function ready(client: RedisClient): Promise<void> {
  if (client.status === 'ready') return Promise.resolve()
  return new Promise((resolve, reject) => {
    const onReady = () => {
      clearTimeout(timer)
      resolve()
    }
    const timer = setTimeout(() => {
      client.off('ready', onReady)
      reject(new Error('there is no connection to Redis'))
    }, readyWithinMs)
    client.once('ready', onReady)
  })
}
