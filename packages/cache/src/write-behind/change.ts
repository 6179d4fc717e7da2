import { compressPayload, decodePayload, encodePayload, freezeIfPlain } from '../codec.ts'
import type { Codec, Entry } from '../entry.ts'
import { partsOf, type Key } from '../kind-name.ts'
import { textOf } from '../text-of.ts'
import { WriteRefusedError } from './errors.ts'

/** One change, as the source is to take it. */
export type Change<V> = {
  readonly key: Key
  /** Undefined where `put` was given undefined: the row is to go. */
  readonly value: V
  /**
   * Grows with every change of the name, in the order of acceptance; a safe integer. A source that keeps it, and refuses
   * a smaller one, is safe from a writer that was frozen and wakes too late.
   */
  readonly version: number
}

/** A change as Redis holds it. */
export type Packed = {
  readonly encoded: string
  /** Of the name and of the value. */
  readonly codecs: string
  readonly keyBytes: Buffer | string
  readonly valueBytes: Buffer | string
}

/** Rejects with WriteRefusedError when the value is too large, with TypeError when the key cannot be kept. */
export async function pack(
  { key, encoded, value }: { key: Key; encoded: string; value: unknown },
  { maxValueBytes, compressAbove }: { maxValueBytes: number; compressAbove: number },
): Promise<Packed> {
  if (hidesSomething(partsOf(key))) {
    throw new TypeError(
      `the key ${encoded} has a part made by personal(), which write-behind would have to keep in clear: use another key`,
    )
  }
  const name = encodePayload(key, typeof key !== 'object')
  const plain = payloadOf(encoded, value)
  const packed = await compressPayload(plain, compressAbove)
  const bytes = Buffer.byteLength(packed.bytes)
  if (bytes > maxValueBytes) {
    throw new WriteRefusedError(
      'too-large',
      `the value of ${encoded} takes ${bytes} bytes, more than maxValueBytes (${maxValueBytes}): keep less in it, or raise the bound`,
    )
  }
  return {
    encoded,
    codecs: name.codec + packed.codec,
    keyBytes: name.bytes,
    valueBytes: packed.bytes,
  }
}

function payloadOf(encoded: string, value: unknown) {
  try {
    return encodePayload(value, value === undefined || freezeIfPlain(value))
  } catch (cause) {
    const message = `the value of ${encoded} cannot be kept: ${textOf(cause)}`
    throw new TypeError(message, { cause })
  }
}

/** The value, one of its own for each call. Throws when it cannot be read. */
export const unpackValue = (codecs: string, bytes: Buffer): unknown => unpack(codecs[1], bytes)
export const unpackKey = (codecs: string, bytes: Buffer): Key => unpack(codecs[0], bytes) as Key

function unpack(codec: string | undefined, bytes: Buffer): unknown {
  return decodePayload({ codec: codec as Codec, bytes, payloadAt: 0 } as Entry)
}

/** Personal parts are marked by a symbol, which no codec keeps. */
function hidesSomething(part: unknown): boolean {
  if (typeof part !== 'object' || part === null) return false
  if (Object.getOwnPropertySymbols(part).length > 0) return true
  return !ArrayBuffer.isView(part) && Object.values(part).some(hidesSomething)
}
