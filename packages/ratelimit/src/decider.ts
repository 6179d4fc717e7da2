import { isUnavailable, type Log, type RedisConnection } from '@wattle/redis'
import { createCircuit, type CircuitState } from './circuit.ts'
import { tokenBucket } from './policy.ts'
import { rowOf, type Row } from './row.ts'
import { decideScript } from './script.ts'

/**
 * Gets `[now in µs, …]` with the verdict of the call at `at` (see `decide.lua`), or nothing, when Redis did not decide.
 */
export type Done = (reply: readonly number[] | undefined, at: number) => void

type Call = { keys: readonly string[]; rows: readonly Row[]; done: Done }

export type Decider = {
  /** Whether Redis is asked at all; while not, callers decide without it, at once. */
  readonly isAvailable: boolean
  /** Asks Redis. `done` is called once, within the deadline, and not before this returns. */
  decide(keys: readonly string[], rows: readonly Row[], done: Done): void
  close(): void
}

/** Values that `decide.lua` returns for each level, after one for the call. */
export const valuesPerLevel = 3

/**
 * Collects the calls of one turn of the event loop and has Redis decide them in one script: a turn in which sixty
 * requests arrived costs one round trip. Deadlines are by batch as well. On a Cluster, whose scripts stay in one slot,
 * each call goes alone.
 */
export function createDecider({
  redis,
  probeKey,
  log,
  deadlineMs,
  probeEveryMs,
  maxBatch,
  onCircuit,
}: {
  redis: RedisConnection
  probeKey: string
  log: Log
  deadlineMs: number
  probeEveryMs: number
  maxBatch: number
  onCircuit: (state: CircuitState) => void
}): Decider {
  let waiting: Call[] = []
  let batches = 0
  let lastComplaint = ''
  const isCluster = redis.client.isCluster

  const circuit = createCircuit({
    probe: () => new Promise((resolve) => send([probeCall((answered) => resolve(answered))])),
    everyMs: probeEveryMs,
    onChange(state, cause) {
      if (state === 'open') {
        log.warn({ err: cause, redis: redis.name }, 'limits are decided without Redis')
      } else log.info({ redis: redis.name }, 'limits are decided by Redis again')
      onCircuit(state)
    },
  })
  const stopListening = redis.onState((state) => {
    if (state === 'ready') circuit.hurry()
  })

  const probeRow = rowOf(tokenBucket({ limit: 1_000, windowMs: 1_000 }), { need: 1, most: 1 })
  function probeCall(answer: (answered: boolean) => void): Call {
    return { keys: [probeKey], rows: [probeRow], done: (reply) => answer(reply !== undefined) }
  }

  function flush(): void {
    const calls = waiting
    waiting = []
    if (isCluster) {
      for (const call of calls) send([call])
      return
    }
    for (let from = 0; from < calls.length; from += maxBatch) {
      send(calls.length <= maxBatch ? calls : calls.slice(from, from + maxBatch))
    }
  }

  function send(calls: readonly Call[]): void {
    let isOver = false
    const fail = (cause: unknown) => {
      if (isOver) return
      isOver = true
      clearTimeout(timer)
      if (isUnavailable(cause)) circuit.open(cause)
      else complain(cause)
      for (const { done } of calls) done(undefined, 0)
    }
    const timer = setTimeout(() => {
      // After a turn that took long, the answer may have been here before the timer: look at the socket first.
      setImmediate(() => fail(new Error(`Command timed out after ${deadlineMs} ms`)))
    }, deadlineMs)
    timer.unref()
    redis.run(decideScript, encode(calls)).then((reply) => {
      if (isOver) return
      isOver = true
      clearTimeout(timer)
      deliver(calls, reply as number[])
    }, fail)
  }

  function encode(calls: readonly Call[]): { keys: string[]; args: string[] } {
    const batch = ++batches
    const keys: string[] = []
    const args = ['']
    const steps: string[] = []
    const alike = calls.every(({ rows }) => areSame(rows, calls[0]?.rows))
    let count = 0
    for (const call of calls) {
      const last = call.rows.length - 1
      for (let level = 0; level <= last; level++) {
        const row = call.rows[level] as Row
        if (row.batch !== batch) {
          row.batch = batch
          row.index = ++count
          for (const arg of row.args) args.push(arg)
        }
        keys.push(call.keys[level] as string)
        if (alike && call !== calls[0]) continue
        steps.push(level === last ? `-${row.index}` : `${row.index}`)
      }
    }
    args[0] = `${count}`
    for (const step of steps) args.push(step)
    return { keys, args }
  }

  function deliver(calls: readonly Call[], reply: readonly number[]): void {
    let at = 1
    for (const { rows, done } of calls) {
      if (reply[at] === -1) {
        complain(new Error('a key of this limit holds something else'))
        done(undefined, 0)
      } else done(reply, at)
      at += 1 + valuesPerLevel * rows.length
    }
  }

  /** What waiting does not heal is said once, not at every request. */
  function complain(cause: unknown): void {
    const text = String(cause)
    if (text === lastComplaint) return
    lastComplaint = text
    log.error({ err: cause, redis: redis.name }, 'Redis refuses to decide limits')
  }

  return {
    get isAvailable() {
      if (circuit.isOpen) return false
      if (redis.state === 'ready') return true
      circuit.open(new Error(`the connection is ${redis.state}`))
      return false
    },
    decide(keys, rows, done) {
      if (waiting.length === 0) setImmediate(flush)
      waiting.push({ keys, rows, done })
    },
    close() {
      stopListening()
      circuit.stop()
    },
  }
}

function areSame(rows: readonly Row[], others: readonly Row[] | undefined): boolean {
  return rows.length === others?.length && rows.every((row, level) => row === others[level])
}
