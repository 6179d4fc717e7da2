import type { RedisOptions } from 'ioredis'

/**
 * Settings of every connection, found by experiment: killed, frozen and unplugged masters under two thousand
 * writes a second. With ioredis' own a frozen master hangs every call for ever, and a lost connection executes
 * hundreds of writes twice.
 */
export const timing = {
  /** A call without an answer is given up. It may still have been executed: writes must be idempotent. */
  commandTimeoutMs: 400,
  /** A host that is gone sends no refusal. */
  connectTimeoutMs: 500,
  /** A stream on which something is awaited and nothing arrives is destroyed. */
  socketTimeoutMs: 1200,
  /** After a half-close, until the stream is destroyed. */
  disconnectTimeoutMs: 50,
  sentinelCommandTimeoutMs: 500,
  sentinelPollMs: 500,
  /** Keeps something awaited on an idle connection, so that the socket time-out notices a frozen server. */
  heartbeatMs: 500,
  /** From the open stream to the end of the handshake. */
  handshakeTimeoutMs: 1000,
} as const

/** Before attempt `attempt` (from 1). Jitter, so that a fleet does not return in step. */
export function reconnectDelayMs(attempt: number, random: () => number): number {
  return Math.round(Math.min(50 * attempt, 300) * (0.75 + 0.5 * random()))
}

export function hurriedDelayMs(random: () => number): number {
  return Math.round(50 * random())
}

/** Credentials that were refused are refused again: ask seldom, but ask, for they may be rotated. */
export function refusedDelayMs(random: () => number): number {
  return Math.round(1500 + 1000 * random())
}

export const baseOptions = {
  // A write whose answer was lost may have been executed. Sending it again executes it twice.
  autoResendUnfulfilledCommands: false,
  // Fail at once while disconnected: callers have something better to do than to wait.
  enableOfflineQueue: false,
  maxRetriesPerRequest: 0,
  // ioredis subscribes again without catching the failure, which ends the process. See subscriber.ts.
  autoResubscribe: false,
  connectTimeout: timing.connectTimeoutMs,
  disconnectTimeout: timing.disconnectTimeoutMs,
  // A replica that is loading is asked again at this pace, not after its estimate of seconds.
  maxLoadingRetryTime: 300,
  // Redis before 7.2 answers CLIENT SETINFO with an error, which fills its error statistics.
  disableClientInfo: true,
  // ioredis' own failover detector can leave a client in `end` for good. See sentinel-watch.ts.
  failoverDetector: false,
  replyMapping: 'legacy',
} satisfies RedisOptions
