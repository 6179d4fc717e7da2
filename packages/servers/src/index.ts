export { findRedisServer } from './find-redis.ts'
export type { FindRedisOptions, RedisServerProgram, RedisSource } from './find-redis.ts'
export { startRedisServer } from './redis-server.ts'
export type { RedisProcess, StartRedisOptions } from './redis-server.ts'
export { ServerStartError } from './server-process.ts'
export type { ExitReason, ServerProcess } from './server-process.ts'
export { renderTemplate, sha256 } from './template.ts'
export type { TemplateName } from './template.ts'
export { renderSentinelUsers, renderUsers, sharedGrants } from './acl.ts'
export type { RedisCredentials, RedisGroupKind, RenderUsersOptions, SharedGrant } from './acl.ts'
export { freePort, isPortFree, onFreePort, PortTakenError } from './ports.ts'
export { guard, release } from './guardian.ts'
export { withFileLock } from './file-lock.ts'
export {
  identifyProcess,
  isRunning,
  readProcessRecord,
  sendSignal,
  stopRecorded,
  writeProcessRecord,
} from './process-record.ts'
export type { ProcessRecord } from './process-record.ts'
export { findPostgres } from './find-postgres.ts'
export type { FindPostgresOptions, PostgresPrograms, PostgresSource } from './find-postgres.ts'
export { startPostgres } from './postgres.ts'
export type { PostgresServer, QueryOptions, StartPostgresOptions } from './postgres.ts'
export { startRedisTopology } from './topology.ts'
export type { RedisTopology } from './topology.ts'
export type { GroupOptions, TopologyOptions } from './topology-plan.ts'
export type { RedisNode } from './redis-node.ts'
