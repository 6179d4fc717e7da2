export { eventually } from './eventually.ts'
export type { EventuallyOptions } from './eventually.ts'
export { fakeClock } from './clock.ts'
export type { FakeClock } from './clock.ts'
export { startRedis } from './redis.ts'
export type { StartTestRedisOptions, TestRedis } from './redis.ts'
export type { TestServer } from './test-server.ts'
export type { ClientOptions } from './clients.ts'
export { startSentinelGroup } from './sentinel-group.ts'
export type { StartTestSentinelGroupOptions, TestSentinelGroup } from './sentinel-group.ts'
export { startCluster } from './cluster.ts'
export type { TestCluster } from './cluster.ts'
export { failOver, snapshot } from './history.ts'
export type { Snapshot } from './history.ts'
export { startProxy } from './proxy.ts'
export type { Direction, ProxyTarget, TestProxy } from './proxy.ts'
export { startDatabase } from './database.ts'
export type { Migrate, StartTestDatabaseOptions, TestDatabase } from './database.ts'
export {
  dockerAvailable,
  startDatabaseContainer,
  startRedisContainer,
  whyNoDocker,
} from './containers.ts'
export type { ContainerOptions, TestRedisContainer } from './containers.ts'
export { randomFrom } from './random.ts'
export type { Random } from './random.ts'
export { countWriteRoutes } from './routes.ts'
