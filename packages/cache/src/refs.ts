import type { KindName } from './kind-name.ts'

/**
 * What an invalidation can name: one entry, all that carry a tag, all of a kind whose key begins with some parts, all of
 * a kind, or everything.
 */
export type Ref =
  | { readonly entry: string; readonly kind: KindName }
  | { readonly tag: string; readonly mode: TagMode }
  | { readonly startingWith: string; readonly kind: KindName }
  | { readonly all: KindName | '*' }

/** `delete`: the entries are gone. `expire`: they are stale, and are still served within their grace. */
export type TagMode = 'delete' | 'expire'

/** All entries of the namespace that carry this tag. */
export const tag = (name: string, mode: TagMode = 'delete'): Ref => checked({ tag: name, mode })

/** Every entry of the namespace. */
export const everything: Ref = { all: '*' }

/**
 * The same ref. Throws a TypeError for what is none (a kind without `.ref(…)` or `.all()`, a tag that is undefined): it
 * would be invalidated by nobody, and reported as done.
 */
export function checked(ref: Ref): Ref {
  const given = Object(ref) as Record<string, unknown>
  const { entry, startingWith, tag: name, mode, kind, all } = given
  const isSound =
    typeof (entry ?? startingWith) === 'string'
      ? isKindName(kind)
      : typeof name === 'string'
        ? mode === 'delete' || mode === 'expire'
        : all === '*' || isKindName(all)
  if (isSound) return ref
  throw new TypeError(
    'what is to be invalidated is no ref: give a list of what ref(), startingWith() or all() of a kind, tag() of a text, or `everything` is',
  )
}

const isKindName = (kind: unknown): boolean =>
  typeof kind === 'object' && kind !== null && 'redisKey' in kind

/** What travels: the names of what was invalidated, never a value. */
export type Message = {
  /** Entries: kind, then encoded keys of that kind. */
  readonly e?: Readonly<Record<string, readonly string[]>>
  /** Tags deleted, and expired. */
  readonly t?: readonly string[]
  readonly x?: readonly string[]
  /** Kinds whose generation moved; `*` for all. */
  readonly g?: readonly string[]
  /** Kinds, and the beginning of the encoded keys that are removed. */
  readonly p?: readonly (readonly [kind: string, beginning: string])[]
  /** When it was sent, in milliseconds of the server's clock. */
  readonly ms: number
}

/** A message of another release that cannot be read; then everything may be meant. */
export function readMessage(payload: string): Message {
  try {
    const message: unknown = JSON.parse(payload)
    if (isMessage(message)) return message
  } catch {
    // Not even JSON.
  }
  return { g: ['*'], ms: 0 }
}

/** The refs as text; kinds stand there by name. */
export const encodeRefs = (refs: readonly Ref[]): string =>
  JSON.stringify(
    refs.map((ref) => {
      checked(ref)
      if ('tag' in ref) return ref
      if ('all' in ref) return { all: ref.all === '*' ? '*' : ref.all.name }
      return { ...ref, kind: ref.kind.name }
    }),
  )

/** What `encodeRefs` wrote; of kinds that are not there any more nobody reads anything. */
export function decodeRefs(text: string, kindOf: (name: string) => KindName | undefined): Ref[] {
  const stored = JSON.parse(text) as Record<string, string>[]
  return stored.flatMap(
    ({ tag: name, mode, all, kind: kindName = '', entry, startingWith }): Ref[] => {
      if (name !== undefined) return [{ tag: name, mode: mode === 'expire' ? 'expire' : 'delete' }]
      if (all === '*') return [everything]
      const kind = kindOf(all ?? kindName)
      if (!kind) return []
      if (all !== undefined) return [{ all: kind }]
      return entry === undefined ? [{ startingWith: startingWith ?? '', kind }] : [{ entry, kind }]
    },
  )
}

function isMessage(message: unknown): message is Message {
  if (typeof message !== 'object' || message === null) return false
  const { e = {}, t, x, g, p = [], ms } = message as Record<string, unknown>
  return (
    typeof ms === 'number' &&
    [t, x, g].every((names) => names === undefined || areNames(names)) &&
    typeof e === 'object' &&
    e !== null &&
    Object.values(e).every(areNames) &&
    Array.isArray(p) &&
    p.every((pair) => areNames(pair))
  )
}

const areNames = (names: unknown): boolean =>
  Array.isArray(names) && names.every((name) => typeof name === 'string')
