import { argon2, randomBytes, timingSafeEqual } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { promisify } from 'node:util'
import { createGate } from './gate.ts'

/** Cost of one hash (RFC 9106): memory in KiB, passes over it, lanes. */
export type PasswordCost = {
  readonly memoryKib: number
  readonly passes: number
  readonly lanes: number
}

/** 19 MiB, two passes: the second recommendation of OWASP's password storage page; about 30 ms of one core. */
export const defaultCost: PasswordCost = { memoryKib: 19_456, passes: 2, lanes: 1 }

export type Passwords = {
  /** The PHC text of a new password, under a fresh salt. */
  hash(password: string, signal?: AbortSignal): Promise<string>
  /**
   * Whether the password fits; the cost is read from the PHC text. Without a text (nobody has this address) it takes
   * as long and says no. `outdated` says that the text should be replaced by one of today's cost.
   */
  verify(
    password: string,
    phc: string | undefined,
    signal?: AbortSignal,
  ): Promise<{ matches: boolean; outdated: boolean }>
}

export type PasswordsOptions = {
  readonly cost?: PasswordCost
  /** Hashes computed at once; each takes a core and a thread of libuv's pool of four. */
  readonly concurrency?: number
  /** Waiting ones, after which callers are turned away: about two seconds of work on two cores. */
  readonly maxWaiting?: number
}

const saltBytes = 16
const hashBytes = 32
const derive = promisify(argon2)
const phcForm =
  /^\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,3}),p=(\d{1,3})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})$/

/** Argon2id by node:crypto, off the main thread, with bounded concurrency and a bounded queue. */
export function createPasswords(options: PasswordsOptions = {}): Passwords {
  const { cost = defaultCost, maxWaiting = 128 } = options
  const { concurrency = Math.min(availableParallelism(), 3) } = options
  const gate = createGate({ concurrency, maxWaiting })
  // No password fits it: finding one would mean inverting the hash.
  const nobody = phcText(cost, randomBytes(saltBytes), randomBytes(hashBytes))

  return {
    async hash(password, signal) {
      const salt = randomBytes(saltBytes)
      const tag = await gate.run(() => tagOf(password, salt, cost, hashBytes), signal)
      return phcText(cost, salt, tag)
    },

    async verify(password, phc, signal) {
      const stored = readPhc(phc ?? nobody)
      const tag = await gate.run(
        () => tagOf(password, stored.salt, stored.cost, stored.tag.length),
        signal,
      )
      const matches = timingSafeEqual(tag, stored.tag)
      return { matches, outdated: matches && !sameCost(stored, cost) }
    },
  }
}

/** NFKC, so that one password typed on two keyboards is one password. */
function tagOf(password: string, nonce: Buffer, cost: PasswordCost, tagLength: number) {
  return derive('argon2id', {
    message: password.normalize('NFKC'),
    nonce,
    tagLength,
    memory: cost.memoryKib,
    passes: cost.passes,
    parallelism: cost.lanes,
  })
}

type StoredHash = { readonly cost: PasswordCost; readonly salt: Buffer; readonly tag: Buffer }

function sameCost(stored: StoredHash, cost: PasswordCost): boolean {
  const { memoryKib, passes, lanes } = stored.cost
  return memoryKib === cost.memoryKib && passes === cost.passes && lanes === cost.lanes
}

const base64 = (bytes: Buffer) => bytes.toString('base64').replaceAll('=', '')

/** The PHC string format: `$argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>`, base64 without padding. */
function phcText({ memoryKib, passes, lanes }: PasswordCost, salt: Buffer, tag: Buffer): string {
  return `$argon2id$v=19$m=${memoryKib},t=${passes},p=${lanes}$${base64(salt)}$${base64(tag)}`
}

function readPhc(text: string): StoredHash {
  const [, memory, passes, lanes, salt, tag] = phcForm.exec(text) ?? []
  if (salt === undefined || tag === undefined) throw new Error('a stored password hash is damaged')
  return {
    cost: { memoryKib: Number(memory), passes: Number(passes), lanes: Number(lanes) },
    salt: Buffer.from(salt, 'base64'),
    tag: Buffer.from(tag, 'base64'),
  }
}
