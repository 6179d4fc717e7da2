import { createCache, tag } from '@wattle/cache'
import { connectRedis, keySpace } from '@wattle/redis'

/** Somebody's service in JavaScript: does what it is told over IPC. */

const log = { info() {}, warn() {}, error: (fields, message) => console.error(message, fields) }
const redis = connectRedis({ url: process.env.REDIS_URL, name: 'consumer', log })
const keys = keySpace({ environment: 'test', service: 'consumer' })
const cache = createCache({ redis, keys, log })
const profiles = cache.kind('profile', { ttl: '1h' })
const plan = cache.define({
  initial: { load: async (name) => name.charAt(0), key: (name) => [name], ttl: '1h' },
})

const calls = {
  async read(name) {
    // Long enough to be compressed on its way to Redis.
    const load = () => ({ name, history: Array.from({ length: 2_000 }, () => 'joined') })
    const profile = await profiles.getOrSet('ada', load)
    return `${profile.name} ${profile.history.length}`
  },
  initial: (name) => plan.initial.get(name),
  async invalidate(name) {
    const { outcome } = await cache.invalidate([profiles.ref('ada'), tag(`named:${name}`)])
    return outcome
  },
}

process.on('message', ({ id, does, name }) => {
  void calls[does](name).then((answer) => process.send({ id, answer }))
})
// Nothing but these two keeps the process alive.
process.once('disconnect', () => {
  cache.close()
  void redis.close()
})
