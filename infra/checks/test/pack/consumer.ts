import { createCache, tag, type Cache, type Duration, type Kind } from '@wattle/cache'
import { connectRedis, keySpace, type Log } from '@wattle/redis'

/** Somebody's service in TypeScript: does what it is told over IPC. `consumer.mjs` does the same in JavaScript. */

type Profile = { name: string; history: string[] }
type Call = { id: number; does: keyof typeof calls; name: string }

const log: Log = {
  info() {},
  warn() {},
  error: (fields, message) => console.error(message, fields),
}
const ttl: Duration = '1h'
const redis = connectRedis({ url: process.env['REDIS_URL'] ?? '', name: 'consumer', log })
const keys = keySpace({ environment: 'test', service: 'consumer' })
const cache: Cache = createCache({ redis, keys, log })
const profiles: Kind<Profile> = cache.kind<Profile>('profile', { ttl })
const plan = cache.define({
  initial: { load: async (name: string) => name.charAt(0), key: (name) => [name], ttl },
})

const calls = {
  async read(name: string): Promise<string> {
    // Long enough to be compressed on its way to Redis.
    const load = () => ({ name, history: Array.from({ length: 2_000 }, () => 'joined') })
    const profile: Profile = await profiles.getOrSet('ada', load)
    return `${profile.name} ${profile.history.length}`
  },
  initial: (name: string): Promise<string | undefined> => plan.initial.get(name),
  async invalidate(name: string): Promise<'applied' | 'deferred'> {
    const { outcome } = await cache.invalidate([profiles.ref('ada'), tag(`named:${name}`)])
    return outcome
  },
}

process.on('message', ({ id, does, name }: Call) => {
  void calls[does](name).then((answer) => process.send?.({ id, answer }))
})
// Nothing but these two keeps the process alive.
process.once('disconnect', () => {
  cache.close()
  void redis.close()
})

/** Never called: what the declarations must refuse. */
export function mistakes(): void {
  // @ts-expect-error a kind has a TTL
  cache.kind('untimed', {})
  // @ts-expect-error the key has the parameters of the loader
  void plan.initial.get(7)
  // @ts-expect-error a connection has a name
  connectRedis({ url: 'redis://127.0.0.1' })
}
