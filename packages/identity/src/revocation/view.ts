import { performance } from 'node:perf_hooks'
import { readRevocation, type Revocation, type TokenIdentity } from './revocation.ts'
import type { Channel, OpenChannel } from './revocation-channel.ts'

export type Verdict = 'valid' | 'revoked' | 'unknown'

/** Every live revocation, or undefined where it cannot be told yet that these are all. */
export type RevocationSource = {
  load(): Promise<readonly Revocation[] | undefined>
}

/** What this process knows of revocations; answers without waiting. */
export type RevocationView = {
  /** `unknown` while it cannot be sure that it knows all, unless what it knows says `revoked`. */
  check(token: TokenIdentity): Verdict
  /** On the scale of `performance.now()`: until then `check` is sure; in the past while it is not. */
  trustedUntilMs(): number
  readonly size: number
  close(): Promise<void>
}

export type RevocationsOptions = {
  readonly channel: OpenChannel
  readonly source: RevocationSource
  /** Most revocations kept; beyond, the ones that end first are dropped, see `check`. 200,000, about 30 MB. */
  readonly maxEntries?: number
  /** Pause before the source is asked again. */
  readonly retryMs?: number
  readonly now?: () => number
  readonly monotonicMs?: () => number
  readonly log?: { warn(fields: object, message: string): void }
}

type Entry = { readonly untilMs: number; readonly issuedBeforeMs: number }

/**
 * A synchronized view of all revocations that still matter. It learns each by the channel; when the channel cannot prove
 * that none is missing it reads all of them from the source, and until that is done it answers `unknown` for what it does
 * not know to be revoked. Nothing is ever taken back: what was revoked stays so until its tokens have expired, hence a
 * reload only adds, and messages that arrive meanwhile need no care.
 *
 * Entries live until the last token that they concern has expired. Past `maxEntries` the ones that end first are dropped,
 * and until the last of those would have ended, tokens that are not known to be revoked are `unknown`: memory is bounded,
 * and no revoked token becomes valid by it.
 */
export function revocations(options: RevocationsOptions): RevocationView {
  const { source, maxEntries = 200_000, retryMs = 200, log } = options
  const { now = Date.now, monotonicMs = () => performance.now() } = options
  // In the order of arrival, which is about the order in which they end.
  const entries = new Map<string, Entry>()
  let isComplete = false
  let incompleteUntilMs = -Infinity
  let loading: Promise<void> | undefined
  let losses = 0
  let isClosed = false
  let wakeUp: (() => void) | undefined

  function add({ id, untilMs, issuedBeforeMs = Infinity }: Revocation): void {
    if (untilMs <= now()) return
    const known = entries.get(id)
    entries.set(id, {
      untilMs: Math.max(untilMs, known?.untilMs ?? 0),
      issuedBeforeMs: Math.max(issuedBeforeMs, known?.issuedBeforeMs ?? -Infinity),
    })
    dropEnded()
  }

  function dropEnded(): void {
    const nowMs = now()
    for (const [id, { untilMs }] of entries) {
      if (untilMs > nowMs) {
        if (entries.size <= maxEntries) return
        incompleteUntilMs = Math.max(incompleteUntilMs, untilMs)
      }
      entries.delete(id)
    }
  }

  async function reload(): Promise<void> {
    while (!isComplete && !isClosed) {
      const lossesBefore = losses
      try {
        const all = await source.load()
        for (const one of all ?? []) add(one)
        isComplete = all !== undefined && losses === lossesBefore
      } catch (error) {
        log?.warn({ err: error }, 'revocations could not be read; trying again')
      }
      if (!isComplete && !isClosed) await pause()
    }
  }

  function pause(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, retryMs)
      wakeUp = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  const channel: Channel = options.channel({
    message(payload) {
      for (const line of payload.split('\n')) {
        const revocation = readRevocation(line)
        if (revocation === undefined) log?.warn({}, 'a revocation is not readable, and is ignored')
        else add(revocation)
      }
    },
    lost() {
      losses++
      isComplete = false
      loading ??= reload().finally(() => {
        loading = undefined
      })
    },
  })

  function trustedUntilMs(): number {
    return isComplete ? channel.trustedUntilMs() : -Infinity
  }

  function isRevoked(id: string, issuedAtMs: number): boolean {
    const entry = entries.get(id)
    return entry !== undefined && issuedAtMs < entry.issuedBeforeMs
  }

  function check({ tokenId, sessionId, familyId, userId, issuedAtMs }: TokenIdentity): Verdict {
    if (
      entries.size > 0 &&
      (isRevoked(sessionId, issuedAtMs) ||
        isRevoked(tokenId, issuedAtMs) ||
        isRevoked(familyId, issuedAtMs) ||
        isRevoked(userId, issuedAtMs))
    ) {
      return 'revoked'
    }
    if (monotonicMs() >= trustedUntilMs()) return 'unknown'
    return incompleteUntilMs > -Infinity && now() < incompleteUntilMs ? 'unknown' : 'valid'
  }

  return {
    check,
    trustedUntilMs,
    get size() {
      return entries.size
    },
    close() {
      isClosed = true
      wakeUp?.()
      channel.close()
      return Promise.resolve()
    },
  }
}
