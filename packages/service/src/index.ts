export { loadConfig, ConfigError, type Environment, type LoadConfigOptions } from './config.ts'
export { baseConfig, durationMs, port, url, type BaseConfig } from './base-config.ts'
export { createLogger, type Logger } from './log.ts'
export { createService, type ServiceContext, type ServiceOptions } from './service.ts'
export { createRegistry } from './http-metrics.ts'
export { addRoute, type AddRouteOptions, type RouteCall, type RouteHandler } from './route.ts'
export type {
  Authenticate,
  Principal,
  PrincipalOf,
  ServicePrincipal,
  UserPrincipal,
} from './principal.ts'
export type { ReadinessCheck } from './readiness.ts'
export type { Trace } from './trace.ts'
export type { Deadline } from './deadline.ts'
export { drain, runService, type RunOptions, type StartContext } from './run.ts'
export { createClient, type CallOptions, type Client, type ClientOptions } from './client.ts'
export { callHeaders, type CallContext } from './client-request.ts'
export {
  createCircuits,
  type Attempt,
  type CircuitStatus,
  type Circuits,
  type CircuitsOptions,
  type ServiceCircuit,
  type Verdict,
} from './circuits.ts'
export type { CircuitRules, CircuitState } from './circuit.ts'
export { verdictOfError } from './client-verdict.ts'
export { setCacheHeaders, type CacheOutcome } from './cache-headers.ts'
export { decodeCursor, encodeCursor, isTimestamp, type CursorPosition } from './cursor.ts'
export { careFor, type CacheCare, type CareOptions } from './cache-care/care.ts'
export { cacheBudgets } from './cache-care/budgets.ts'
export { careRoutes } from './cache-care/routes.ts'
