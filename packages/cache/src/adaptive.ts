import { zstdDecompressSync } from 'node:zlib'
import type { Duration } from './duration.ts'
import type { Entry, Payload } from './entry.ts'

export type AdaptiveOptions = { min: Duration; max: Duration }
export type AdaptiveBounds = { readonly minMs: number; readonly maxMs: number }

/**
 * How long a value may be fresh, from how long the one before it was.
 *
 * A value is loaded anew in the background only when it is read in the last part of its life (refresh-ahead), or later,
 * within its grace. So there is a predecessor exactly when the entry is read often enough for its TTL, and was not
 * invalidated: an invalidation removes it, and the next one begins at the kind's TTL. When the predecessor was the same,
 * loading it was in vain, and the TTL doubles; when it was not, readers saw an old value for up to so long, and it is
 * halved. That is the Alex protocol (Cate, "Alex: a Global Filesystem", 1992: trust what has not changed for long) in
 * steps of two, and needs no memory but the entry itself, so it is the same for all processes and survives their restart.
 */
export function adaptedMs(
  previousMs: number,
  isSame: boolean,
  { minMs, maxMs }: AdaptiveBounds,
): number {
  return Math.min(maxMs, Math.max(minMs, isSame ? previousMs * 2 : previousMs / 2))
}

/** Whether the entry holds exactly this payload, compressed or not. */
export function holds({ codec, bytes, payloadAt }: Entry, payload: Payload): boolean {
  if (codec.toLowerCase() !== payload.codec) return false
  const own = bytes.subarray(payloadAt)
  const plain = codec === payload.codec ? own : zstdDecompressSync(own)
  return plain.equals(
    typeof payload.bytes === 'string' ? Buffer.from(payload.bytes) : payload.bytes,
  )
}
