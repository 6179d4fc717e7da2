import { deserialize, serialize } from 'node:v8'
import { promisify } from 'node:util'
import { zstdCompress, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import type { Entry, Payload } from './entry.ts'

const compress = promisify(zstdCompress)
/** What is nested deeper is no plain value; one that contains itself is not either. */
const deepest = 200
/** From here compression leaves the event loop. */
const asynchronousFrom = 65_536

/**
 * Whether the value is made of what JSON gives back as it was, frozen all through on the way.
 *
 * Frozen, one object can be handed to every reader: an attempt to change it throws a TypeError where it happens, instead of
 * changing what others read. Everything else (dates, big integers, maps, bytes, NaN, undefined properties) cannot be
 * frozen to the ground; it is kept as bytes, and every reader gets an object of its own.
 */
export function freezeIfPlain(value: unknown, depth = 0): boolean {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return true
    case 'number':
      return Number.isFinite(value) && !Object.is(value, -0)
    case 'object':
      return value === null || (depth < deepest && freezeObject(value, depth + 1))
    default:
      return false
  }
}

function freezeObject(value: object, depth: number): boolean {
  if (Array.isArray(value)) {
    // The rows of a database driver may be an array of a class of its own, which JSON does not give back.
    if (Object.getPrototypeOf(value) !== Array.prototype) return false
    for (let at = 0; at < value.length; at++) if (!freezeIfPlain(value[at], depth)) return false
  } else {
    const prototype: unknown = Object.getPrototypeOf(value)
    if (prototype !== Object.prototype && prototype !== null) return false
    for (const name in value) {
      if (name === '__proto__' || name === 'toJSON') return false
      if (!freezeIfPlain((value as Record<string, unknown>)[name], depth)) return false
    }
  }
  Object.freeze(value)
  return true
}

/** The payload of a value that `freezeIfPlain` answered for. Throws a DataCloneError for functions and the like. */
export function encodePayload(value: unknown, isPlain: boolean): Payload {
  if (value === undefined) return { codec: '-', bytes: '' }
  if (isPlain) return { codec: 'j', bytes: JSON.stringify(value) }
  return { codec: 'v', bytes: serialize(value) }
}

/** The same, compressed when it is longer than `above` bytes and becomes shorter by it. */
export async function compressPayload(payload: Payload, above: number): Promise<Payload> {
  const { codec, bytes } = payload
  if (bytes.length <= above || (codec !== 'j' && codec !== 'v')) return payload
  const packed =
    bytes.length < asynchronousFrom ? zstdCompressSync(bytes) : await compress(Buffer.from(bytes))
  if (packed.length >= bytes.length) return payload
  return { codec: codec === 'j' ? 'J' : 'V', bytes: packed }
}

/** A value of its own for each call. Throws when the payload was damaged. */
export function decodePayload({ codec, bytes, payloadAt }: Entry): unknown {
  switch (codec) {
    case '-':
      return undefined
    case 'j':
      return JSON.parse(bytes.toString('utf8', payloadAt))
    case 'v':
      // From bytes of its own: what it brings of bytes lies in those that it was read from.
      return deserialize(new Uint8Array(bytes.subarray(payloadAt)))
    case 'J':
      return JSON.parse(unpack({ bytes, payloadAt }).toString())
    case 'V':
      return deserialize(unpack({ bytes, payloadAt }))
    default:
      throw new TypeError(`no codec is called ${String(codec)}`)
  }
}

/** The payload of an entry that is compressed, as it was before. Throws when it was damaged. */
export const unpack = ({ bytes, payloadAt }: Pick<Entry, 'bytes' | 'payloadAt'>): Buffer =>
  zstdDecompressSync(bytes.subarray(payloadAt), limit)

/** What L1 keeps of a value that readers must not share. */
export class Sealed {
  readonly entry: Entry
  constructor(entry: Entry) {
    this.entry = entry
  }
}

/** More than any value may have: a damaged or forged entry must not take the memory of the process. */
const limit = { maxOutputLength: 256 * 1024 * 1024 }
