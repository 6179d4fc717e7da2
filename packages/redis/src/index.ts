export { connectRedis, type ConnectOptions, type RedisConnection } from './connection.ts'
export type { RedisClient } from './backend.ts'
export { formatAddress, type Address } from './address.ts'
export { isRefusal, isUnavailable } from './errors.ts'
export { parseInfo, type RedisInfo, type ReplicaInfo } from './info.ts'
export { keySpace, personal, type KeyPart, type KeySpace, type Personal } from './keys.ts'
export type { Log } from './log.ts'
export type { Argument } from './call.ts'
export { defineScript, type Script, type ScriptCall } from './script.ts'
export type { SentinelView } from './sentinel-watch.ts'
export type { RedisState } from './state.ts'
export type { MessageListener, Subscriber } from './subscriber.ts'
export type { ClusterNode, ClusterTopology, GroupTopology, Topology } from './topology.ts'
export {
  parseRedisUrl,
  redisUrlSchemes,
  type ClusterConfig,
  type RedisConfig,
  type SentinelConfig,
  type SingleConfig,
  type TlsConfig,
} from './url.ts'
export {
  createChannel,
  type Channel,
  type ChannelListener,
  type ChannelOptions,
} from './channel/channel.ts'
export { defineChannelScript } from './channel/prelude.ts'
export type { Announcement, Call } from './channel/ring.ts'
export type { Shard } from './channel/shard.ts'
export type { Issued } from './channel/shard-options.ts'
export type { CircuitState } from './circuit.ts'
