import type { Cache } from '../cache.ts'
import type { Ref } from '../refs.ts'
import { named } from './cacheable.ts'

export type EvictsOptions<This, Args extends unknown[], R> = {
  cache: Pick<Cache, 'invalidate'>
  /**
   * What a call changes, from its arguments and its result. The result is undefined when the call rejected: then nobody
   * knows whether the write happened, and what can be named from the arguments is invalidated all the same.
   */
  refs: (this: This, args: Args, result: R | undefined) => readonly Ref[]
}

/**
 * The function, after which what it changed is invalidated: its promise resolves when that is done or deferred, so the
 * caller reads its own write. Rejects with what the function rejects with; never because of Redis.
 */
export function evicts<This, Args extends unknown[], R>(
  write: (this: This, ...args: Args) => Promise<R>,
  { cache, refs }: EvictsOptions<This, Args, R>,
): (this: This, ...args: Args) => Promise<R> {
  return named(write.name, async function evicting(this: This, ...args: Args): Promise<R> {
    let result: R
    try {
      result = await write.apply(this, args)
    } catch (cause) {
      await invalidateWhatIsKnown(() => refs.call(this, args, undefined))
      throw cause
    }
    await cache.invalidate(refs.call(this, args, result))
    return result
  })

  /** Names that need the result cannot be made; the failure of the write is what the caller must see. */
  async function invalidateWhatIsKnown(name: () => readonly Ref[]): Promise<void> {
    let known: readonly Ref[]
    try {
      known = name()
    } catch {
      return
    }
    await cache.invalidate(known)
  }
}
