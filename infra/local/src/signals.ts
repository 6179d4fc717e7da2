/** A Ctrl-C reaches this process several times: from the terminal, from npm, from the bootstrap. */
const sameKeyPressMs = 1_000
const parentPollMs = 500

/**
 * Calls `onStop` when this process is asked to end: Ctrl-C, SIGTERM, a closed terminal, the end of the process that started
 * it (which may have had no chance to pass a signal on). Calls `onHurry` when it is asked again, later than the copies
 * of the first request arrive.
 */
export function onStopRequest(handlers: {
  onStop: (reason: string) => void
  onHurry: () => void
  now?: () => number
}): void {
  const { onStop, onHurry, now = () => performance.now() } = handlers
  let firstAt: number | undefined
  const receive = (reason: string) => {
    if (firstAt === undefined) {
      firstAt = now()
      onStop(reason)
    } else if (now() - firstAt > sameKeyPressMs) {
      onHurry()
    }
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, receive)

  const parent = process.ppid
  const watch = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(watch)
    if (firstAt === undefined) receive('its parent process has ended')
  }, parentPollMs)
  watch.unref()
}
