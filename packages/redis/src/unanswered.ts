import type { Redis } from 'ioredis'

const looksPerTimeout = 8

/**
 * Gives up what a server does not answer: a call after `commandTimeoutMs` (up to an eighth later), and the stream when
 * nothing at all has come for `socketTimeoutMs` though something is awaited.
 *
 * ioredis can do both, with two timers for every call, which cost more than the call itself. Redis answers in order, so
 * one look at the queue now and then will do: whatever was sent before a former look and is still there is as old as that.
 * Time is counted in looks; that in which this process stood still, and could not have read an answer, does not count.
 */
export function giveUpUnanswered(
  redis: Redis,
  { commandTimeoutMs, socketTimeoutMs }: { commandTimeoutMs: number; socketTimeoutMs: number },
): void {
  const everyMs = commandTimeoutMs / looksPerTimeout
  const silentLooks = Math.ceil(socketTimeoutMs / everyMs)
  let timer: NodeJS.Timeout | undefined
  /** Of all calls; those in the queue are the last of them. */
  let sent = 0
  let rejected = 0
  /** `sent` at each of the last looks. */
  let marks: number[] = []
  let bytesRead = 0
  let silent = 0

  function look(): void {
    const { commandQueue, stream } = redis
    const answered = sent - commandQueue.length
    if (answered === sent) {
      clearInterval(timer)
      timer = undefined
      return
    }
    marks.push(sent)
    const overdue = marks.length > looksPerTimeout ? (marks.shift() as number) : 0
    for (rejected = Math.max(rejected, answered); rejected < overdue; rejected++) {
      // It stays in the queue, for its answer may come yet.
      commandQueue.peekAt(rejected - answered)?.command.reject(new Error('Command timed out'))
    }
    silent = stream.bytesRead === bytesRead ? silent + 1 : 0
    ;({ bytesRead } = stream)
    if (silent < silentLooks) return
    silent = 0
    stream.destroy(new Error(`Socket timeout: nothing came for ${socketTimeoutMs} ms`))
  }

  const send = redis.sendCommand.bind(redis)
  redis.sendCommand = (command, stream) => {
    const before = redis.commandQueue.length
    const reply = send(command, stream)
    if (redis.commandQueue.length > before) {
      sent++
      if (timer === undefined) {
        marks = []
        silent = 0
        timer = setInterval(look, everyMs)
      }
    }
    return reply
  }
}
