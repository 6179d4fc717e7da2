/** A relay in a process of its own, to be killed or frozen by a test. */
import { connectRedis } from '@wattle/redis'
import { startRelay } from '../../src/index.ts'
import { announce, settings } from './settings.ts'

const { redisUrl, databaseUrl, environment, replicas } = settings
const redis = connectRedis({ url: redisUrl, name: 'relay' })
const relay = startRelay({ databaseUrl, redis, environment, service: 'payment', replicas })
setInterval(() => announce(relay.active ? 'active' : 'standing by'), 20)
