/**
 * An entry as Redis holds it: a header of 71 bytes, the names of its tags as JSON, and the payload.
 *
 *     2 | codec | epoch | sequence | stored at | soft TTL | hard TTL | length of tags
 *     1     1      16       16          13          10         10            4
 *
 * Epoch and sequence are those at the lease, so before the load began: whatever was invalidated later has a higher
 * sequence. Times are milliseconds of the server's clock. Scripts read the header too; see `lua/`.
 */
export const layout = '2'
export const headerLength = 71
const mostTagBytes = 9_999

/** `-` absent, `j` JSON, `v` structured clone; in upper case: compressed. */
export type Codec = '-' | 'j' | 'v' | 'J' | 'V'

export type Payload = { readonly codec: Codec; readonly bytes: Buffer | string }

export type Ages = { readonly storedAtMs: number; readonly softMs: number; readonly hardMs: number }

export type Entry = Ages & {
  readonly codec: Codec
  readonly epoch: string
  readonly sequence: number
  /** Names of the tags that were computed from the value. */
  readonly tags: readonly string[]
  /** The whole as it was read, and where the payload begins. */
  readonly bytes: Buffer
  readonly payloadAt: number
}

const digits = (value: number, count: number) => value.toFixed(0).padStart(count, '0')

/** What stands before epoch and sequence, and after them. */
export function encodeAround(
  { storedAtMs, softMs, hardMs }: Ages,
  tags: readonly string[],
  { codec, bytes }: Payload,
): [head: string, tail: Buffer | string] {
  const names = tags.length === 0 ? '' : JSON.stringify(tags)
  const size = names === '' ? 0 : Buffer.byteLength(names)
  if (size > mostTagBytes) {
    throw new RangeError(
      `the names of its ${tags.length} tags take ${size} bytes, and an entry has room for ${mostTagBytes}: give it fewer`,
    )
  }
  const length = digits(size, 4)
  const ages = `${digits(storedAtMs, 13)}${digits(softMs, 10)}${digits(hardMs, 10)}${length}${names}`
  return [
    layout + codec,
    typeof bytes === 'string' ? ages + bytes : Buffer.concat([Buffer.from(ages), bytes]),
  ]
}

export function encodeEntry(
  epoch: string,
  sequence: string,
  ages: Ages,
  tags: readonly string[],
  payload: Payload,
): Buffer | string {
  const [head, tail] = encodeAround(ages, tags, payload)
  const start = head + epoch + sequence
  return typeof tail === 'string' ? start + tail : Buffer.concat([Buffer.from(start), tail])
}

/** The entry, or undefined for anything that another layout or a broken writer left: a miss, never an error. */
export function decodeEntry(bytes: Buffer | null | undefined): Entry | undefined {
  if (!bytes || bytes.length < headerLength || bytes[0] !== 0x32) return undefined
  const codec = String.fromCharCode(bytes[1] ?? 0)
  if (!isCodec(codec)) return undefined
  const tagsLength = numberAt(bytes, 67, 71)
  const sequence = numberAt(bytes, 18, 34)
  const storedAtMs = numberAt(bytes, 34, 47)
  const softMs = numberAt(bytes, 47, 57)
  const hardMs = numberAt(bytes, 57, 67)
  const tags = tagsLength === 0 ? noTags : tagsAt(bytes, tagsLength)
  const isSound = sequence + storedAtMs + softMs + hardMs + tagsLength >= 0
  if (!isSound || !tags) return undefined
  const payloadAt = headerLength + tagsLength
  return new DecodedEntry(codec, sequence, storedAtMs, softMs, hardMs, tags, bytes, payloadAt)
}

class DecodedEntry implements Entry {
  readonly codec: Codec
  readonly sequence: number
  readonly storedAtMs: number
  readonly softMs: number
  readonly hardMs: number
  readonly tags: readonly string[]
  readonly bytes: Buffer
  readonly payloadAt: number

  constructor(
    codec: Codec,
    sequence: number,
    storedAtMs: number,
    softMs: number,
    hardMs: number,
    tags: readonly string[],
    bytes: Buffer,
    payloadAt: number,
  ) {
    this.codec = codec
    this.sequence = sequence
    this.storedAtMs = storedAtMs
    this.softMs = softMs
    this.hardMs = hardMs
    this.tags = tags
    this.bytes = bytes
    this.payloadAt = payloadAt
  }

  /** Only strict kinds ask for it. */
  get epoch(): string {
    return this.bytes.toString('latin1', 2, 18)
  }
}

/** The header as text, for scripts that are to act on this entry only. */
export const headerOf = ({ bytes }: Entry): string => bytes.toString('latin1', 0, headerLength)

const noTags: readonly string[] = []

const isCodec = (text: string): text is Codec => text.length === 1 && '-jvJV'.includes(text)

/** NaN when it is not all digits. */
function numberAt(bytes: Buffer, from: number, to: number): number {
  let value = 0
  for (let at = from; at < to; at++) {
    const digit = (bytes[at] ?? 0) - 48
    if (digit < 0 || digit > 9) return Number.NaN
    value = value * 10 + digit
  }
  return value
}

function tagsAt(bytes: Buffer, length: number): readonly string[] | undefined {
  try {
    const names: unknown = JSON.parse(bytes.toString('utf8', headerLength, headerLength + length))
    return Array.isArray(names) && names.every((name) => typeof name === 'string')
      ? names
      : undefined
  } catch {
    return undefined
  }
}
