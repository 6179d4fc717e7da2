import { AppError } from '@wattle/contracts'
import { Agent, request } from 'undici'
import { readJwks, type Jwks, type VerificationKey } from './keys.ts'

/** Where a verifier finds public keys. */
export type KeySource = {
  /** The key, when it is trusted at this moment; never waits. */
  peek(keyId: string): VerificationKey | undefined
  /**
   * The key, asking its publisher again when it is not known; undefined when there is no such key. Throws
   * AppError('UNAVAILABLE') when that cannot be told because the publisher cannot be reached.
   */
  find(keyId: string): Promise<VerificationKey | undefined>
  close(): Promise<void>
}

/** Keys of this process: known from the start, or what a function says that they are now. */
export function localKeys(jwks: Jwks | (() => Jwks)): KeySource {
  let read = typeof jwks === 'function' ? jwks() : jwks
  let keys = readJwks(read)
  function peek(keyId: string): VerificationKey | undefined {
    const now = typeof jwks === 'function' ? jwks() : read
    if (now !== read) {
      read = now
      keys = readJwks(now)
    }
    return keys.get(keyId)
  }
  return {
    peek,
    find: (keyId) => Promise.resolve(peek(keyId)),
    close: () => Promise.resolve(),
  }
}

export type RemoteKeysOptions = {
  readonly url: string
  /** Bound on one fetch, connection and body together. */
  readonly timeoutMs?: number
  /** A document above this is refused. */
  readonly maxBytes?: number
  /** Age at which a set is fetched again in the background; also how long a withdrawn key is still trusted. */
  readonly refreshMs?: number
  /** Unknown key ids lead to at most one fetch in this time. */
  readonly cooldownMs?: number
  /** The same while no set has ever been fetched, as at the start of a stack. */
  readonly firstRetryMs?: number
  readonly now?: () => number
  readonly log?: { warn(fields: object, message: string): void }
}

/**
 * Keys of a JWKS address: fetched when first needed, cached, refreshed in the background, and asked for again when a
 * token names an unknown key. Several keys are trusted at once, so keys rotate with overlap. When a fetch fails or
 * returns nonsense, the old set stays. Concurrent callers share one fetch. Redirects are not followed.
 */
export function remoteKeys(options: RemoteKeysOptions): KeySource {
  const { url, timeoutMs = 2_000, maxBytes = 64 * 1024, refreshMs = 300_000 } = options
  const { cooldownMs = 3_000, firstRetryMs = 250, now = Date.now, log } = options
  const agent = new Agent({ connections: 1, maxResponseSize: maxBytes })

  let keys: ReadonlyMap<string, VerificationKey> | undefined
  let fetchedAtMs = -Infinity
  let triedAtMs = -Infinity
  let lastFetchFailed = false
  let running: Promise<void> | undefined

  async function fetchKeys(): Promise<void> {
    try {
      const signal = AbortSignal.timeout(timeoutMs)
      const reply = await request(url, { dispatcher: agent, signal })
      const text = await reply.body.text()
      if (reply.statusCode !== 200) throw new Error(`the key set answered ${reply.statusCode}`)
      keys = readJwks(JSON.parse(text))
      fetchedAtMs = now()
      lastFetchFailed = false
    } catch (error) {
      lastFetchFailed = true
      log?.warn({ err: error, url, kept: keys?.size ?? 0 }, 'the key set could not be fetched')
    }
  }

  function refresh(): Promise<void> {
    if (running === undefined) {
      triedAtMs = now()
      running = fetchKeys().finally(() => {
        running = undefined
      })
    }
    return running
  }

  const mayFetch = () => now() - triedAtMs >= (keys === undefined ? firstRetryMs : cooldownMs)

  function peek(keyId: string): VerificationKey | undefined {
    if (keys !== undefined && now() - fetchedAtMs >= refreshMs && mayFetch()) void refresh()
    return keys?.get(keyId)
  }

  async function find(keyId: string): Promise<VerificationKey | undefined> {
    const known = peek(keyId)
    if (known !== undefined) return known
    if (running !== undefined || mayFetch()) await refresh()
    const found = keys?.get(keyId)
    if (found === undefined && (keys === undefined || lastFetchFailed)) {
      throw new AppError('UNAVAILABLE', 'Tokens cannot be verified at the moment.', {
        cause: new Error(`no key set from ${url}`),
        retryAfterSeconds: 1,
      })
    }
    return found
  }

  return { peek, find, close: () => agent.destroy() }
}
