import type { KeySpace, RedisConnection } from '@wattle/redis'

/** The keys of one write-behind, all in one slot of a Cluster. */
export function placeOf(keys: KeySpace, redis: RedisConnection, name: string) {
  const suffix = redis.client.isCluster
    ? `:{${keys.service}-writes-${name.replaceAll(/[{}]/g, '')}}`
    : ''
  const key = (part: string) => keys.key('writes', name, part) + suffix
  return {
    stream: key('stream'),
    pending: key('pending'),
    version: key('version'),
    dead: key('dead'),
    group: 'writer',
  } as const
}

export type Place = ReturnType<typeof placeOf>
