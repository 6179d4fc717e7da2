import type { Shard } from '@wattle/redis'

/** Where a write stands: for each shard it concerned, the epoch and the number of its invalidation. */
export type Position = ReadonlyMap<number, { readonly epoch: string; readonly sequence: number }>

const form = /^\d{1,3}:[0-9a-f]{16}:\d{1,16}(,\d{1,3}:[0-9a-f]{16}:\d{1,16})*$/

/** `<shard>:<epoch>:<sequence>`, joined by commas; empty for nothing. */
export const formatToken = (position: Position): string =>
  [...position].map(([shard, { epoch, sequence }]) => `${shard}:${epoch}:${sequence}`).join(',')

/** Of no history. No process has covered it, so a read with it asks the source. */
const unreached = { epoch: '0'.repeat(16), sequence: 0 } as const

/** The outcome of several announcements as one, and the token that stands for all: of each shard the highest number. */
export function outcomeOf(
  parts: Iterable<{ shard: Shard; epoch?: string | undefined; sequence?: number | undefined }>,
): { outcome: 'applied' | 'deferred'; token: string } {
  const reached = new Map<number, { readonly epoch: string; readonly sequence: number }>()
  let outcome: 'applied' | 'deferred' = 'applied'
  for (const { shard, epoch, sequence } of parts) {
    const before = reached.get(shard.index)
    if (epoch === undefined || sequence === undefined) {
      outcome = 'deferred'
      reached.set(shard.index, unreached)
    } else if (!before || (before !== unreached && before.sequence < sequence)) {
      reached.set(shard.index, { epoch, sequence })
    }
  }
  return { outcome, token: formatToken(reached) }
}

/** Undefined for what no cache has given out: tokens come from clients. */
export function parseToken(token: string): Position | undefined {
  if (token === '') return new Map()
  if (token.length > 1_024 || !form.test(token)) return undefined
  return new Map(
    token.split(',').map((part) => {
      const [shard, epoch = '', sequence] = part.split(':')
      return [Number(shard), { epoch, sequence: Number(sequence) }]
    }),
  )
}

/** Whether this process has applied everything of the shard up to the position. */
export function isCovered({ index, epoch, sequence }: Shard, position: Position): boolean {
  const part = position.get(index)
  return part === undefined || (part.epoch === epoch && part.sequence <= sequence)
}
