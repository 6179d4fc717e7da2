import type { KeyPart, KeySpace } from '@wattle/redis'

/** What a caller names an entry by: one part, or several. */
export type Key = string | number | readonly KeyPart[]

/** One kind of entry under its name and version, and how its keys are written. */
export type KindName = {
  readonly name: string
  readonly version: number
  /** The parts as they stand in the Redis key, which is also how entries are named between processes. */
  encode(key: Key): string
  /** The Redis key, without what a shard adds. */
  redisKey(encoded: string, version?: number): string
}

/** Names that the cache uses for keys of its own. */
export const reserved = new Set([
  'tag',
  'tags',
  'generations',
  'invalidations',
  'duty',
  'hot',
  'warming',
  'lock',
  'writes',
])

const plain = /^[\w./+-]+$/
/** As a number is written in a key, but for its mark. */
const number = /^(0|-?[1-9]\d{0,14})(\.\d{0,8}[1-9])?$/

export function kindName(keys: KeySpace, name: string, version: number): KindName {
  if (typeof name !== 'string') {
    throw new TypeError(`a kind is called by a name such as bill, not ${String(name)}`)
  }
  const beginning = (of: number) => keys.key(`${name}@${of}`, '').slice(0, -'~empty'.length)
  const own = beginning(version)
  return {
    name,
    version,
    encode: (key) =>
      isPlain(key) ? key : keys.key(`${name}@${version}`, ...partsOf(key)).slice(own.length),
    redisKey: (encoded, of = version) => (of === version ? own : beginning(of)) + encoded,
  }
}

/** Whether the key is its own name, everywhere. */
export const isPlain = (key: Key): key is string =>
  typeof key === 'string' && key.length <= 100 && plain.test(key)

/** Throws a TypeError for what is no key. */
export function partsOf(key: Key): readonly KeyPart[] {
  if (typeof key === 'string' || typeof key === 'number') return [key]
  if (Array.isArray(key)) return key as readonly KeyPart[]
  throw new TypeError(
    `a key is a string, a number or a list of parts, not ${key === null ? 'null' : `a value of type ${typeof key}`}`,
  )
}

/**
 * The name of an entry in the process. A plain string stands for itself, so that a caller's key can be looked up without
 * encoding it; all others get a mark in front that no plain string has.
 */
export const localKey = (encoded: string): string =>
  plain.test(encoded) ? encoded : `\0${encoded}`

/** Each doubles the walks over all keys. */
const mostNumbers = 4

/**
 * How the keys that begin like this may be written. The complete parts are encoded as those of keys; of the last one only
 * a beginning is given. What reads as a number may be one in the key, so it is written in both ways.
 */
export function encodeBeginnings(names: KindName, beginning: string): string[] {
  const parts = beginning.split(':')
  const last = parts.pop() ?? ''
  if (parts.filter((part) => number.test(part)).length > mostNumbers) {
    throw new TypeError(`"${beginning}" has too many parts that may be numbers: use startingWith`)
  }
  const spellings = (part: string) =>
    number.test(part) ? [names.encode(part), names.encode(Number(part))] : [names.encode(part)]
  const ends = last === '' ? [''] : spellings(last)
  const beginnings = parts.reduce(
    (before, part) => before.flatMap((one) => spellings(part).map((text) => `${one}${text}:`)),
    [''],
  )
  return beginnings.flatMap((one) => ends.map((end) => one + end))
}
