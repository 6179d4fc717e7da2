import { createHash, createHmac } from 'node:crypto'

/** A value that says something about a person. Made by `personal()`. */
export interface Personal {
  readonly [personalValue]: KeyPart
}
const personalValue = Symbol('personal')

/** What a key can be made of. */
export type KeyPart =
  | string
  | number
  | bigint
  | boolean
  | null
  | undefined
  | Date
  | Uint8Array
  | Personal
  | readonly KeyPart[]
  | { readonly [property: string]: KeyPart }

/** Marks a value (an e-mail address, a phone number, a meter number) that must not stand in a key in clear. */
export function personal(value: KeyPart): Personal {
  return { [personalValue]: value }
}

/** Strings of these characters only stand in a key as they are. */
const plain = /^[\w./+-]+$/
/** Everything else that is written otherwise: structure, glob and escape characters, control, space, invisible. */
const unsafe = /[:{}*?[\]\\^%~#(),=\p{C}\p{Z}]/gu
const email = /[^\s@]@[^\s@]+\.[^\s@]/
/** A longer part is replaced by its beginning and its hash. */
const longest = 100
const readable = 24
const deepest = 8

/**
 * One part of a key as text. Different values have different texts (up to SHA-256):
 *
 * | value | text |
 * |---|---|
 * | `'usr_1'`, `'a:b'`, `''` | `usr_1`, `a%3Ab`, `~empty` |
 * | `1`, `-0`, `1n`, `true`, `null`, `undefined` | `~1`, `~0`, `~1n`, `~true`, `~null`, `~undefined` |
 * | `new Date(0)`, bytes | `~d0`, `~b` and base64url |
 * | `['a', 1]`, `{ b: 1, a: 'x' }` | `~(a,~1)`, `~(a=x,b=~1)` with sorted names; a property that is undefined is absent |
 * | `personal('a@b.example')`, or any string that looks like an e-mail address | `~p` and 128 bits of HMAC-SHA-256 |
 *
 * A text of more than 100 characters becomes its first 24, `#`, and its SHA-256.
 */
export function encodePart(part: KeyPart, secret: string | undefined): string {
  if (typeof part === 'string' && part.length <= longest && plain.test(part)) return part
  const text = encode(part, secret, 0)
  if (text.length <= longest) return text
  const hash = createHash('sha256').update(text).digest('base64url')
  return `${text.slice(0, readable).replace(/[^\w./+-]+$/, '')}#${hash}`
}

function encode(part: KeyPart, secret: string | undefined, depth: number): string {
  switch (typeof part) {
    case 'string':
      if (plain.test(part)) return part
      return email.test(part) ? encodePersonal(part, secret, depth) : encodeString(part)
    case 'number':
      return part === 0 ? '~0' : `~${part}`
    case 'bigint':
      return `~${part}n`
    case 'object':
      return part === null ? '~null' : encodeObject(part, secret, depth)
    case 'boolean':
    case 'undefined':
      return `~${part}`
    default:
      throw new TypeError(`A key cannot be made of a ${typeof part}.`)
  }
}

function encodeString(text: string): string {
  if (text === '') return '~empty'
  return text.replace(unsafe, escape)
}

/** `%` and two digits, or `%u` and four for each UTF-16 code unit beyond ASCII. */
function escape(character: string): string {
  let escaped = ''
  for (let index = 0; index < character.length; index += 1) {
    const unit = character.charCodeAt(index)
    const digits = unit.toString(16).toUpperCase()
    escaped += unit < 128 ? `%${digits.padStart(2, '0')}` : `%u${digits.padStart(4, '0')}`
  }
  return escaped
}

function encodeObject(part: object & KeyPart, secret: string | undefined, depth: number): string {
  if (depth >= deepest) throw new TypeError('A key part is nested too deeply, or contains itself.')
  if (part instanceof Date) return `~d${part.getTime()}`
  if (part instanceof Uint8Array) return `~b${Buffer.from(part).toString('base64url')}`
  if (Array.isArray(part)) {
    const items: readonly KeyPart[] = part
    return `~(${Array.from(items, (item) => encode(item, secret, depth + 1)).join(',')})`
  }
  if (isPersonal(part)) return encodePersonal(part[personalValue], secret, depth)
  const prototype: unknown = Object.getPrototypeOf(part)
  if (prototype !== Object.prototype && prototype !== null) {
    throw new TypeError('A key cannot be made of an instance of a class.')
  }
  const properties = Object.entries(part as { readonly [property: string]: KeyPart })
    .filter(([, value]) => value !== undefined)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${encode(name, secret, depth)}=${encode(value, secret, depth + 1)}`)
  return properties.length === 0 ? '~(=)' : `~(${properties.join(',')})`
}

function isPersonal(part: object): part is Personal {
  return personalValue in part
}

/** Keyed, because who could only hash might still try a list of addresses. */
function encodePersonal(value: KeyPart, secret: string | undefined, depth: number): string {
  if (secret === undefined) {
    throw new TypeError('A key holds something personal: give keySpace a personalSecret.')
  }
  const text = typeof value === 'string' ? encodeString(value) : encode(value, secret, depth + 1)
  const digest = createHmac('sha256', secret).update(text).digest()
  return `~p${digest.subarray(0, 16).toString('base64url')}`
}
