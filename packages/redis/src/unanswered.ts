import type { Redis } from 'ioredis'

const everyMs = 50
/** What is counted of a longer time between two looks. */
const mostMs = 200

/**
 * Gives up what a server does not answer: a call after `commandTimeoutMs` (50 ms later at most), and the stream when
 * nothing at all has come for `socketTimeoutMs` though something is awaited.
 *
 * ioredis can do both, with two timers for every call, which cost more than the call itself. Redis answers in order, so
 * one look at the queue now and then will do: whatever was sent before a former look and is still there is as old as that.
 * When this process stood still, and could not read an answer, no more than 200 ms of that are counted.
 *
 * For a client of one server. In a Cluster a call is also on its way while it lies in no queue.
 */
export function giveUpUnanswered(
  redis: Redis,
  { commandTimeoutMs, socketTimeoutMs }: { commandTimeoutMs: number; socketTimeoutMs: number },
): void {
  let timer: NodeJS.Timeout | undefined
  /** Of all calls; those in the queue are the last of them. */
  let sent = 0
  let rejected = 0
  /** Time that counts, since the watch began. */
  let passedMs = 0
  let lookedAtMs = 0
  /** `sent` at former looks. */
  let marks: { sent: number; atMs: number }[] = []
  /** What came last, and when. */
  let heard = { stream: redis.stream, bytes: 0, atMs: 0 }

  function listen(): void {
    const { stream } = redis
    if (stream !== heard.stream || stream.bytesRead !== heard.bytes) {
      heard = { stream, bytes: stream.bytesRead, atMs: passedMs }
    }
  }

  function look(): void {
    const { commandQueue, stream } = redis
    const answered = sent - commandQueue.length
    if (answered === sent) {
      clearInterval(timer)
      timer = undefined
      return
    }
    const nowMs = performance.now()
    passedMs += Math.min(nowMs - lookedAtMs, mostMs)
    lookedAtMs = nowMs
    marks.push({ sent, atMs: passedMs })
    let overdue = 0
    for (let [first] = marks; first && passedMs - first.atMs >= commandTimeoutMs; [first] = marks) {
      overdue = first.sent
      marks.shift()
    }
    for (rejected = Math.max(rejected, answered); rejected < overdue; rejected++) {
      // It stays in the queue, for its answer may come yet.
      commandQueue.peekAt(rejected - answered)?.command.reject(new Error('Command timed out'))
    }
    listen()
    if (passedMs - heard.atMs < socketTimeoutMs) return
    stream.destroy(new Error(`Socket timeout: nothing came for ${socketTimeoutMs} ms`))
  }

  function watch(): void {
    marks = []
    lookedAtMs = performance.now()
    listen()
    heard.atMs = passedMs
    // What is awaited keeps the process alive by its stream.
    timer = setInterval(look, everyMs).unref()
  }

  const send = redis.sendCommand.bind(redis)
  redis.sendCommand = (command, stream) => {
    const before = redis.commandQueue.length
    const reply = send(command, stream)
    if (redis.commandQueue.length > before) {
      sent++
      if (timer === undefined) watch()
    }
    return reply
  }
}
