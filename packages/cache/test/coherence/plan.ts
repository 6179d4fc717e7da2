import type { Feature } from './features/names.ts'

/** Ways to invalidate that every run has. */
const plainWays = ['key', 'update', 'tag', 'valueTag', 'pattern', 'generation', 'token'] as const
/** Ways to cache and to write that a feature adds. */
const featureWays = {
  'write-behind': 'behind',
  adaptive: 'adaptive',
  wrappers: 'wrapped',
  locks: 'locked',
} as const satisfies Partial<Record<Feature, string>>
export type Way = (typeof plainWays)[number] | (typeof featureWays)[keyof typeof featureWays]

export type Kind = { name: string; way: Way; strict: boolean }

export const rowsOfKind = 8

/**
 * What the processes of a run cache: rows of one table, each under one kind. A kind stands for a way to write and to
 * invalidate, once strict and once ordinary, so every promise is tried on both.
 */
export function createPlan(features: readonly Feature[]) {
  const added = features.flatMap((feature): Way[] =>
    feature in featureWays ? [featureWays[feature as keyof typeof featureWays]] : [],
  )
  const kinds = [...plainWays, ...added].flatMap((way): Kind[] => [
    { name: `${way}Strict`, way, strict: true },
    { name: `${way}Ordinary`, way, strict: false },
  ])
  return {
    kinds,
    rowCount: kinds.length * rowsOfKind,
    /** Of the kinds that features add; they come last. */
    addedRows: 2 * added.length * rowsOfKind,
    kindOf(row: number): Kind {
      const kind = kinds[Math.floor(row / rowsOfKind)]
      if (!kind) throw new RangeError(`there is no row ${row}`)
      return kind
    },
  }
}
export type Plan = ReturnType<typeof createPlan>

/** What a loader returns. */
export type Value = { row: number; version: number; owner: number }

export const owners = 4

/** The owner moves with each write, so a tag computed from the value does, too. */
export const ownerOf = (row: number, version: number) => (row + version) % owners

export const valueOf = (row: number, version: number): Value => ({
  row,
  version,
  owner: ownerOf(row, version),
})

/** Rows that share a tag that is known before they are loaded. */
export const groupOf = (row: number) => row % 3
