/**
 * What the processes of a run cache: rows of one table, each under one kind. A kind stands for a way to invalidate, once
 * strict and once ordinary, so every promise is tried on both.
 */
export const ways = ['key', 'update', 'tag', 'valueTag', 'pattern', 'generation', 'token'] as const
export type Way = (typeof ways)[number]

export const kinds = ways.flatMap((way) => [
  { name: `${way}Strict`, way, strict: true },
  { name: `${way}Ordinary`, way, strict: false },
])
export type Kind = (typeof kinds)[number]

export const rowsOfKind = 8
export const rowCount = kinds.length * rowsOfKind

export function kindOf(row: number): Kind {
  const kind = kinds[Math.floor(row / rowsOfKind)]
  if (!kind) throw new RangeError(`there is no row ${row}`)
  return kind
}

/** What a loader returns. */
export type Value = { row: number; version: number; owner: number }

export const owners = 4

/** The owner moves with each write, so a tag computed from the value does, too. */
export const ownerOf = (row: number, version: number) => (row + version) % owners

/** Rows that share a tag that is known before they are loaded. */
export const groupOf = (row: number) => row % 3

/** Milliseconds since the epoch, with fractions, on a clock that all processes of a machine share and nobody sets back. */
export const clockMs = () => performance.timeOrigin + performance.now()
