import { encodePart, type KeyPart } from './key-part.ts'

export { personal, type KeyPart, type Personal } from './key-part.ts'

/** Builds the names of everything that one service of one environment keeps in Redis. */
export interface KeySpace {
  readonly environment: string
  readonly service: string
  /** `development:billing:`. What the service's Redis user may reach begins with it. */
  readonly prefix: string
  /**
   * `development:billing:bill@1:usr_7:~(state=open)` from `key('bill', 'usr_7', { state: 'open' })`. The kind carries
   * the version of what is stored under it: raise `bill` (the same as `bill@1`) to `bill@2` when its shape changes.
   * Equal parts make equal keys, different parts different ones, `1` and `'1'` included; see `encodePart`.
   */
  key(kind: string, ...parts: readonly KeyPart[]): string
  /** The name of a pub/sub channel. */
  channel(name: string, ...parts: readonly KeyPart[]): string
  /**
   * Glob (`SCAN … MATCH`) of all keys of the kind, at this version, that begin with these parts and have at least
   * one more.
   */
  pattern(kind: string, ...leadingParts: readonly KeyPart[]): string
}

const namePattern = /^[a-z][a-z0-9-]*$/
const kindPattern = /^([a-z][a-z0-9-]*)(@[1-9][0-9]*)?$/i
const mostKinds = 1000

/**
 * `environment` and `service` are lower-case names. `personalSecret` (32 characters or more, from the configuration,
 * the same in all copies of a service) keys the hashes that stand for personal values. Throws when one is not valid.
 */
export function keySpace({
  environment,
  service,
  personalSecret,
}: {
  environment: string
  service: string
  personalSecret?: string
}): KeySpace {
  for (const [what, name] of Object.entries({ environment, service })) {
    if (!namePattern.test(name)) {
      throw new TypeError(`The ${what} in a key is not a lower-case name: ${JSON.stringify(name)}.`)
    }
  }
  if (personalSecret !== undefined && personalSecret.length < 32) {
    throw new TypeError('The personalSecret of a key space has fewer than 32 characters.')
  }
  const prefix = `${environment}:${service}:`
  const beginnings = new Map<string, string>()

  /** `development:billing:bill@1`, checked once per kind. */
  function beginning(kind: string): string {
    const known = beginnings.get(kind)
    if (known !== undefined) return known
    const [, name, version = '@1'] = kindPattern.exec(kind) ?? []
    if (name === undefined) {
      throw new TypeError(`A kind of key is a name such as bill or bill@2, not ${kind}.`)
    }
    const made = `${prefix}${name}${version}`
    if (beginnings.size < mostKinds) beginnings.set(kind, made)
    return made
  }

  function build(kind: string, parts: readonly KeyPart[]): string {
    let key = beginning(kind)
    for (const part of parts) key += `:${encodePart(part, personalSecret)}`
    return key
  }

  return {
    environment,
    service,
    prefix,
    // Without parts there is a mark in their place, so that the pattern of a kind finds it too.
    key: (kind, ...parts) => (parts.length === 0 ? `${beginning(kind)}:~` : build(kind, parts)),
    channel: (name, ...parts) => build(name, parts),
    // Nothing that is special in a glob is left in an encoded part.
    pattern: (kind, ...leadingParts) => `${build(kind, leadingParts)}:*`,
  }
}
