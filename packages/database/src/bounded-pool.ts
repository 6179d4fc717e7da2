import { AppError } from '@wattle/contracts'
import type { PostgresPool, PostgresPoolClient, PostgresQueryResult } from 'kysely'
import type pg from 'pg'
import { cancelStatement } from './cancel.ts'
import { statementError, unavailable } from './errors.ts'

/** Time between the request to cancel a statement and the end of its connection, when no answer comes. */
const cancelGraceMs = 250

/**
 * A pool as Kysely wants it, in which nothing waits for ever. The server's own `statement_timeout` ends slow statements,
 * but a server that is frozen or cut off does not answer at all; so each statement is also watched from here: at
 * `limitMs`, or when `signal` aborts, it is cancelled, and if that is not answered either the connection is destroyed.
 * A commit or rollback that has begun is not interrupted by the signal. Errors come out as `statementError` maps them.
 */
export function boundedPool(deps: {
  pool: pg.Pool
  limitMs: number
  signal?: AbortSignal | undefined
  onAnswer: () => void
}): PostgresPool {
  const { pool, signal } = deps
  // Kysely knows its connections by the identity of the client.
  const clients = new WeakMap<pg.PoolClient, PostgresPoolClient>()
  return {
    options: {},
    async connect() {
      const client = await acquire(pool, signal)
      let bounded = clients.get(client)
      if (!bounded) {
        bounded = boundedClient(client, deps)
        clients.set(client, bounded)
      }
      return bounded
    },
    // The pool is shared; who made it ends it.
    async end() {},
  }
}

async function acquire(pool: pg.Pool, signal: AbortSignal | undefined): Promise<pg.PoolClient> {
  if (signal?.aborted) throw deadlineExceeded(signal)
  const connecting = pool.connect()
  if (!signal) return connecting.catch(throwUnavailable)
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      connecting.then(
        (client) => client.release(),
        () => {},
      )
      reject(deadlineExceeded(signal))
    }
    signal.addEventListener('abort', onAbort, { once: true })
    connecting
      .finally(() => signal.removeEventListener('abort', onAbort))
      .then(resolve, (error: unknown) => reject(unavailable(error)))
  })
}

function boundedClient(
  client: pg.PoolClient,
  deps: { limitMs: number; signal?: AbortSignal | undefined; onAnswer: () => void },
): PostgresPoolClient {
  let doomed = false

  async function query<R>(
    sql: string,
    parameters: readonly unknown[],
  ): Promise<PostgresQueryResult<R>> {
    const signal = sql === 'commit' || sql === 'rollback' ? undefined : deps.signal
    if (signal?.aborted) throw deadlineExceeded(signal)
    let stoppedBy: 'limit' | 'signal' | undefined
    let killTimer: NodeJS.Timeout | undefined
    const stop = (by: 'limit' | 'signal') => {
      if (stoppedBy) return
      stoppedBy = by
      doomed = true
      cancelStatement(client)
      killTimer = setTimeout(() => void endConnection(client), cancelGraceMs)
    }
    const onAbort = () => stop('signal')
    const limitTimer = setTimeout(stop, deps.limitMs, 'limit')
    signal?.addEventListener('abort', onAbort, { once: true })
    try {
      const result = await client.query(sql, [...parameters])
      deps.onAnswer()
      return result as unknown as PostgresQueryResult<R>
    } catch (error) {
      if (stoppedBy === 'signal' && signal) throw deadlineExceeded(signal, error)
      throw stoppedBy === 'limit' ? unavailable(error) : statementError(error)
    } finally {
      clearTimeout(limitTimer)
      clearTimeout(killTimer)
      signal?.removeEventListener('abort', onAbort)
    }
  }

  return {
    query: query as PostgresPoolClient['query'],
    release: (destroy) => client.release(destroy === true || doomed),
  }
}

/** Ends the connection at once: pg destroys the socket of a client whose statement is still running. */
function endConnection(client: pg.ClientBase): Promise<void> {
  return (client as pg.ClientBase & { end(): Promise<void> }).end()
}

function deadlineExceeded(signal: AbortSignal, cause: unknown = signal.reason): AppError {
  if (signal.reason instanceof AppError) return signal.reason
  return new AppError('DEADLINE_EXCEEDED', 'It took longer than the request allows', { cause })
}

function throwUnavailable(cause: unknown): never {
  throw unavailable(cause)
}
