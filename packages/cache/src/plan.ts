import type { KeyPart } from '@wattle/redis'
import { expose } from './internals.ts'
import { getMany } from './kind.ts'
import type { Kind } from './kind.ts'
import type { Key } from './kind-name.ts'
import type { KindCore } from './kind-core.ts'
import type { KindOptions } from './policy.ts'
import type { ReadOutcome } from './outcome.ts'
import type { Ref } from './refs.ts'

export type Loader = (...args: never[]) => Promise<unknown>

/** One line of a plan: a kind of cached thing. The parameters of `load` are those of `key` and `tags`. */
export type KindPlan<L extends Loader> = KindOptions & {
  /** Reads the source. What it rejects with reaches every waiting caller. */
  load: L
  /** The same for many, for `getMany`: values in the order of the arguments. */
  loadMany?: (argsOfEach: readonly Parameters<L>[]) => Promise<readonly Awaited<ReturnType<L>>[]>
  /** What names the entry: its only part, or several. Mark personal ones with `personal()`. */
  key: (...args: Parameters<L>) => Key
  /** Names under which the entry can be invalidated together with others; known before it is loaded. */
  tags?: (...args: Parameters<L>) => readonly string[]
  /** The same, computed from the value. */
  valueTags?: (value: NonNullable<Awaited<ReturnType<L>>>) => readonly string[]
}

/** A kind that knows how to load its values. */
export type LoadedKind<L extends Loader> = {
  readonly name: string
  /** The value: from this process, from Redis, or from `load`. Rejects only when `load` does. */
  get(...args: Parameters<L>): Promise<Awaited<ReturnType<L>>>
  /** The same, with where it came from. */
  read(...args: Parameters<L>): Promise<ReadOutcome<Awaited<ReturnType<L>>>>
  /** The same, and nothing older than the write that the token stands for. */
  readAfter(token: string, ...args: Parameters<L>): Promise<ReadOutcome<Awaited<ReturnType<L>>>>
  /** Many at once: one round trip, and one call of `loadMany`, where the plan has one, for what is missing. */
  getMany(argsOfEach: readonly Parameters<L>[]): Promise<Awaited<ReturnType<L>>[]>
  /** Write-through; see `Kind.update`. */
  update(
    args: Parameters<L>,
    write: () => Promise<Awaited<ReturnType<L>>>,
    related?: readonly Ref[],
  ): Promise<Awaited<ReturnType<L>>>
  /** Names the entry, for `invalidate`. */
  ref(...args: Parameters<L>): Ref
  /** Names every entry whose key begins with these parts and has at least one more. */
  startingWith(...parts: KeyPart[]): Ref
  /** Names every entry of the kind. */
  all(): Ref
}

/** Throws a TypeError that names what is missing, before the first read does. */
export function checkPlan(name: string, plan: KindPlan<Loader>): void {
  const { load, key, loadMany, tags, valueTags } = plan
  for (const [what, given] of Object.entries({ load, key })) {
    if (typeof given !== 'function') {
      throw new TypeError(`${what} of ${name} is no function: give one of the loader's parameters`)
    }
  }
  for (const [what, given] of Object.entries({ loadMany, tags, valueTags })) {
    if (given !== undefined && typeof given !== 'function') {
      throw new TypeError(`${what} of ${name} is no function: give one, or leave it out`)
    }
  }
}

export function createLoadedKind<L extends Loader>({
  core,
  kind,
  plan,
}: {
  core: KindCore
  kind: Kind<Awaited<ReturnType<L>>>
  plan: KindPlan<L>
}): LoadedKind<L> {
  type Args = Parameters<L>
  type Value = Awaited<ReturnType<L>>
  const { load, loadMany, tags } = plan
  // One string is the commonest key, and the cheapest.
  const keyOf = (...args: Args): Key => {
    const key = plan.key(...args)
    if (typeof key !== 'object' || key.length !== 1) return key
    const only = key[0]
    return typeof only === 'string' ? only : key
  }
  const optionsOf = (args: Args, after?: string) => ({ tags: tags?.(...args), after })
  const look = (...args: Args) =>
    core.look(keyOf(...args), () => load(...args), tags && optionsOf(args), args)
  // A hit makes no array of its arguments, and the tags are of no use to it.
  const get = (...args: Args) => (core.probe(keyOf(...args)) ?? look(...args)) as Promise<Value>
  const read = (args: Args, after?: string) =>
    core.read(keyOf(...args), () => load(...args), optionsOf(args, after), args) as Promise<
      ReadOutcome<Value>
    >

  const loaded: LoadedKind<L> = {
    name: core.name,
    get,
    read: (...args) => read(args),
    readAfter: (token, ...args) => read(args, token),
    async getMany(argsOfEach) {
      if (!loadMany) return Promise.all(argsOfEach.map((args) => get(...args)))
      const keys = argsOfEach.map((args) => keyOf(...args))
      const byKey = new Map(keys.map((key, at) => [key, argsOfEach[at] as Args]))
      const argsOf = (key: (typeof keys)[number]) => byKey.get(key) as Args
      const missing = (some: readonly (typeof keys)[number][]) => loadMany(some.map(argsOf))
      const values = await getMany(
        core,
        keys,
        missing,
        (key) => tags && optionsOf(argsOf(key)),
        argsOf,
      )
      return values as Value[]
    },
    update: (args, write, related) => {
      const named = tags?.(...args)
      return kind.update(keyOf(...args), write, related, named ? { tags: named } : {})
    },
    ref: (...args) => kind.ref(keyOf(...args)),
    startingWith: kind.startingWith,
    all: kind.all,
  }
  expose(loaded, {
    core,
    plan: plan as unknown as KindPlan<Loader>,
    keyOf: (args) => keyOf(...(args as Args)),
  })
  return loaded
}

export type KeyOf = (args: readonly unknown[]) => Key
