import { readFile } from 'node:fs/promises'
import { readSigningKeys, type SigningKeys } from './keys.ts'

/** Signing keys that may be others the next time. */
export type KeyRing = { current(): SigningKeys }

/** The keys of this moment, of a ring or of keys that stay. */
export function currentKeys(keys: SigningKeys | KeyRing): SigningKeys {
  return 'current' in keys ? keys.current() : keys
}

export type WatchedKeysOptions = {
  /** What was read at the start. */
  readonly pem: string
  /** Where it was read from; undefined where the keys did not come from a file, and stay. */
  readonly file: string | undefined
  /** How often the file is looked at. */
  readonly everyMs?: number
  readonly log?: {
    info(fields: object, message: string): void
    warn(fields: object, message: string): void
  }
}

/**
 * Signing keys from a file that is looked at again and again: whoever edits it rotates keys without a restart. A file
 * that is gone, half written or no key changes nothing, and is warned of.
 */
export function watchedKeys(options: WatchedKeysOptions): KeyRing & { close(): void } {
  const { file, everyMs = 30_000, log } = options
  let text = options.pem
  let keys = readSigningKeys(text)
  let timer: NodeJS.Timeout | undefined
  let faulty: string | undefined

  async function look(path: string): Promise<void> {
    try {
      const read = await readFile(path, 'utf8')
      if (read.trim() === text.trim()) return
      if (read === faulty) return
      faulty = read
      const next = readSigningKeys(read)
      const published = next.jwks.keys.map(({ kid }) => kid)
      log?.info({ signs: next.keyId, published }, 'signing keys were replaced')
      keys = next
      text = read
      faulty = undefined
    } catch (error) {
      log?.warn({ err: error, file: path }, 'signing keys stay as they are: the file is no use')
    }
  }

  if (file !== undefined) {
    // One after the other: what was read first must not be followed last.
    let looking: Promise<void> | undefined
    timer = setInterval(() => {
      looking ??= look(file).finally(() => (looking = undefined))
    }, everyMs)
    timer.unref()
  }
  return { current: () => keys, close: () => clearInterval(timer) }
}
