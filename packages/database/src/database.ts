import { CompiledQuery, Kysely, PostgresDialect, type Transaction } from 'kysely'
import { Client, Pool, type ClientConfig } from 'pg'
import { boundedPool } from './bounded-pool.ts'
import { unavailable } from './errors.ts'
import { typeParsers } from './parsers.ts'
import { runTransaction, type TransactionOptions } from './transaction.ts'

/** The part of a pino logger that is used here. */
export type DatabaseLog = {
  info(details: object, message: string): void
  warn(details: object, message: string): void
}

export type DatabaseOptions = {
  /** `postgresql://user:password@host:port/database`; over a Unix socket `postgresql://user:password@/database?host=/dir`. */
  url: string
  /** Shown by PostgreSQL as `application_name`. */
  name: string
  /** Connections at most; copies of the service × this must stay below the server's limit. Default 10. */
  poolSize?: number
  /** Longest time to make a connection. Default 1,500. */
  connectionTimeoutMs?: number
  /** Longest wait for a connection while all are in use. Default 4,000, a little less than a request's five seconds. */
  poolWaitMs?: number
  /** Longest time a statement may run. Default 2,500: with the time to connect, less than a request's five seconds. */
  statementTimeoutMs?: number
  /** Longest wait for a lock. Default 1,500. */
  lockTimeoutMs?: number
  /** A transaction that does nothing for so long is ended by the server. Default 10,000. */
  idleInTransactionTimeoutMs?: number
  log?: DatabaseLog
  random?: () => number
}

/** What is queried: all of it, or within a deadline. */
export type Queries<DB> = {
  readonly kysely: Kysely<DB>
  /** See `runTransaction`: retries serialization failures and deadlocks. */
  transaction<T>(
    work: (trx: Transaction<DB>) => Promise<T>,
    options?: TransactionOptions,
  ): Promise<T>
}

export type Database<DB> = Queries<DB> & {
  /**
   * The same database for one request: when `signal` aborts, waiting ends, the running statement is cancelled and the
   * call rejects with DEADLINE_EXCEEDED (or the AppError that is the signal's reason). A commit is not interrupted.
   */
  within(signal: AbortSignal): Queries<DB>
  /** Resolves when the server answers within `timeoutMs`, else rejects with UNAVAILABLE; never takes longer. */
  health(timeoutMs: number): Promise<void>
  stats(): { size: number; idle: number; waiting: number; limit: number }
  /** Lets running statements finish, then ends the connections. May be called again. */
  close(): Promise<void>
}

/**
 * A pool of connections to one database, with typed queries. Returns at once and connects when first used; a database
 * that is away makes queries reject with AppError UNAVAILABLE, never the process, and is used again as soon as it is
 * back. Every wait is bounded, also on a server that is frozen.
 */
export function openDatabase<DB>(options: DatabaseOptions): Database<DB> {
  const { name, poolSize = 10, statementTimeoutMs = 2_500, log, random = Math.random } = options
  const pool = new Pool({
    connectionString: options.url,
    application_name: name,
    max: poolSize,
    Client: clientThatConnectsWithin(options.connectionTimeoutMs ?? 1_500),
    // To pg's pool this is the wait for a free connection as well as the time to connect, which is shorter.
    connectionTimeoutMillis: options.poolWaitMs ?? 4_000,
    idleTimeoutMillis: 30_000,
    keepAlive: true,
    statement_timeout: statementTimeoutMs,
    lock_timeout: options.lockTimeoutMs ?? 1_500,
    idle_in_transaction_session_timeout: options.idleInTransactionTimeoutMs ?? 10_000,
    types: typeParsers,
  })
  pool.on('error', (error) => log?.warn({ err: error }, 'an idle database connection was lost'))
  // While a client is checked out the pool does not listen, and an 'error' nobody hears ends the process; the
  // statement that was running reports the same loss to its caller.
  pool.on('connect', (client) => client.on('error', () => {}))

  let answers = 0
  const bounds = { pool, limitMs: statementTimeoutMs + 250, onAnswer: () => (answers += 1) }
  let closing: Promise<void> | undefined

  function queries(signal?: AbortSignal): Queries<DB> {
    const kysely = new Kysely<DB>({
      dialect: new PostgresDialect({ pool: boundedPool({ ...bounds, signal }) }),
    })
    return {
      kysely,
      transaction: (work, settings = {}) => runTransaction(kysely, work, settings, random),
    }
  }

  const main = queries()
  return {
    ...main,
    within: queries,
    async health(timeoutMs) {
      const answersBefore = answers
      const timeout = Promise.withResolvers<never>()
      const timer = setTimeout(() => {
        timeout.reject(unavailable(new Error(`no answer within ${timeoutMs} ms`)))
      }, timeoutMs)
      try {
        await Promise.race([
          main.kysely.executeQuery(CompiledQuery.raw('select 1')),
          timeout.promise,
        ])
      } catch (error) {
        // A busy pool is not a dead server: somebody else was answered meanwhile.
        if (answers === answersBefore) throw error
      } finally {
        clearTimeout(timer)
      }
    },
    stats: () => ({
      size: pool.totalCount,
      idle: pool.idleCount,
      waiting: pool.waitingCount,
      limit: poolSize,
    }),
    close: () => (closing ??= pool.end()),
  }
}

function clientThatConnectsWithin(connectionTimeoutMillis: number) {
  return class extends Client {
    constructor(config?: ClientConfig) {
      super({ ...config, connectionTimeoutMillis })
    }
  }
}
