import { Flight } from './flight.ts'
import { kindInternalsOf } from './internals.ts'
import { localKey } from './kind-name.ts'
import type { LoadedKind, Loader } from './plan.ts'
import { pendingFirst } from './write-behind/pending-first.ts'

/** An entry that is to be in Redis before somebody asks for it. */
export type Warm = { readonly kind: LoadedKind<Loader>; readonly args: readonly unknown[] }

/** Names an entry for warming: `warm(plan.profile, 'usr_7')`. */
export const warm = <L extends Loader>(kind: LoadedKind<L>, ...args: Parameters<L>): Warm => ({
  kind,
  args,
})

/**
 * `warmed`: loaded, and stored in Redis. `present`: it is there, with at least half of its life before it. `skipped`: the
 * source has no such thing, or another process loads it, or it was invalidated meanwhile; the cache is right in any case.
 */
export type WarmOutcome = 'warmed' | 'present' | 'skipped'

/**
 * Loads one entry into L2 by the way of every read: under its lease, fenced against invalidations, within the cap of
 * loads. It leaves L1 and the counts of reads alone. Rejects when the load fails, or Redis does not answer.
 */
export async function warmEntry(
  { kind, args }: Warm,
  loadOne?: (args: readonly unknown[]) => unknown,
): Promise<WarmOutcome> {
  const { core, plan, keyOf } = kindInternalsOf(kind)
  const encoded = core.names.encode(keyOf(args))
  const id = localKey(encoded)
  const source = () => (loadOne ? loadOne(args) : plan.load(...(args as never[])))
  const load = pendingFirst(core, encoded, source)
  const request = core.requestOf(load, { tags: plan.tags?.(...(args as never[])) }, args)

  async function fly(refreshOf: number) {
    const ended = Promise.withResolvers<void>()
    const flight = new Flight(core, `w${id}`, encoded, request, {
      id,
      refreshOf,
      onEnd: ended.resolve,
    })
    // Nothing of it is kept in this process; L2 has fences of its own.
    flight.poisoned = true
    await flight.start('ordinary')
    if (flight.status === 'bypass') throw new Error('Redis cannot be asked now')
    if (flight.status === 'stale') throw new Error('the load failed, or takes long')
    await ended.promise
    return flight
  }

  let flown = await fly(-Infinity)
  if (flown.status === 'hit' && flown.ttlMs < flown.ageMs)
    flown = await fly(core.shardOf(encoded).clock.nowMs())
  if (flown.stored) return 'warmed'
  if (flown.unheard) throw new Error('Redis did not answer in time')
  return flown.status === 'hit' ? 'present' : 'skipped'
}
