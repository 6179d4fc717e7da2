import { Redis, type RedisOptions } from 'ioredis'

/** Options of ioredis; the reply mapping would change the types of all replies. */
export type ClientOptions = Omit<RedisOptions, 'replyMapping'>

/** Clients of one server under test, closed together with it. */
export function clientPool(defaults: ClientOptions) {
  const clients = new Set<Redis>()
  return {
    /** A plain client that gives up quickly: a test must see a fault, not wait it out. */
    open(options: ClientOptions = {}): Redis {
      const client = new Redis({
        maxRetriesPerRequest: 1,
        connectTimeout: 2000,
        commandTimeout: 5000,
        retryStrategy: () => 50,
        ...defaults,
        ...options,
      })
      // What a test does to the server shows in its commands; unheard error events would end it.
      client.on('error', () => undefined)
      client.once('end', () => clients.delete(client))
      clients.add(client)
      return client
    },
    closeAll(): void {
      for (const client of clients) client.disconnect()
      clients.clear()
    },
  }
}
