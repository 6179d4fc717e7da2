import type { KeyPart, KeySpace } from '@wattle/redis'
import { isLasting } from './address.ts'
import type { CallOptions, Level, LimitOptions, Priority } from './limit.ts'
import { scaled, type Algorithm, type Policy } from './policy.ts'
import { rowOf, type Row } from './row.ts'

/** What a call looks at or charges: a key and a row for each level that applies. */
export type Resolved = {
  readonly keys: string[]
  readonly rows: Row[]
  readonly names: string[]
}

export type Mode = 'take' | 'peek'

export type PreparedLevel<C> = {
  readonly name: string
  readonly hasKey: boolean
  /** Adds the level to `to`, if it applies. Throws RangeError where the cost is more than the level can hold. */
  resolve(to: Resolved, context: C, mode: Mode, options: CallOptions | undefined): void
  /** The key of the context, where the level applies to it. */
  keyOf(context: C, policy: Policy): string | undefined
}

const namePattern = /^[a-z][a-z0-9-]*$/
/** Rows and keys are kept by what makes them, up to so many; then they begin anew. */
const mostKept = 1_000

/** The levels of a limit, with all prepared that does not depend on the call. Throws TypeError for a wrong name. */
export function prepareLevels<C>(
  keys: KeySpace,
  limit: string,
  options: LimitOptions<C>,
): PreparedLevel<C>[] {
  const levels: readonly Level<C>[] =
    'levels' in options
      ? options.levels
      : [{ name: limit, policy: options.policy, ...(options.key ? { key: options.key } : {}) }]
  const isComposed = 'levels' in options
  const tag = options.group ?? (levels.length > 1 ? limit : undefined)
  const names = levels.map(({ name }) => name)
  for (const name of [limit, ...names, ...(tag === undefined ? [] : [tag])]) {
    if (!namePattern.test(name)) {
      throw new TypeError(
        `The limit ${limit} has the name ${JSON.stringify(name)}: use lower-case letters, digits and dashes.`,
      )
    }
  }
  if (new Set(names).size < names.length) {
    throw new TypeError(`The limit ${limit} has two levels of one name: rename one.`)
  }
  if (levels.length === 0) throw new TypeError(`The limit ${limit} has no level: give it one.`)
  return levels.map((level) => prepareLevel(keys, level, pathOf(level.name)))

  /** `{pay}:pay:address`, or `search` where a limit is its only level. */
  function pathOf(level: string): string {
    const path = isComposed ? `${limit}:${level}` : limit
    return tag === undefined ? path : `{${tag}}:${path}`
  }
}

function prepareLevel<C>(keys: KeySpace, level: Level<C>, path: string): PreparedLevel<C> {
  const { name, policy, key, scale, reserve } = level
  const prefixes = new Map<Algorithm, { beginning: number; prefix: string }>()
  const rows = new WeakMap<Policy, Map<string, Row>>()
  const plainRow = typeof policy === 'object' ? stepOf(policy, 'take', 1, undefined) : undefined

  function prefixOf(algorithm: Algorithm) {
    const known = prefixes.get(algorithm)
    if (known !== undefined) return known
    const beginning = keys.key(algorithm, 'x').slice(0, -1)
    const made = { beginning: beginning.length, prefix: beginning + path }
    prefixes.set(algorithm, made)
    return made
  }

  function stepOf(present: Policy, mode: Mode, cost: number, priority: Priority | undefined): Row {
    const reserved = Math.ceil(present.capacity * (reserve?.[priority ?? 'high'] ?? 0))
    const most = mode === 'take' ? cost : 0
    return rowOf(present, { need: cost, most, reserve: reserved })
  }

  function rowFor(present: Policy, mode: Mode, options: CallOptions | undefined): Row {
    const { cost = 1, priority } = options ?? {}
    const share = scale === undefined ? 1 : Math.round(scale() * 100) / 100
    if (plainRow && share >= 1 && mode === 'take' && cost === 1 && priority === undefined) {
      return plainRow
    }
    if (!Number.isSafeInteger(cost) || cost < 1 || cost > present.capacity) {
      throw new RangeError(
        `A call costs ${cost} at the level ${name}, which holds ${present.capacity}: give a whole number from 1 to that.`,
      )
    }
    let ofPolicy = rows.get(present)
    if (ofPolicy === undefined || ofPolicy.size >= mostKept) {
      ofPolicy = new Map()
      rows.set(present, ofPolicy)
    }
    const id = `${mode}:${cost}:${priority ?? ''}:${share}`
    const known = ofPolicy.get(id)
    if (known !== undefined) return known
    const made = stepOf(scaled(present, Math.max(0.01, share)), mode, cost, priority)
    ofPolicy.set(id, made)
    return made
  }

  const keysByText = new Map<string, string>()
  const keysByObject = new WeakMap<object, string>()

  function keyOf(context: C, { algorithm }: Policy): string | undefined {
    const { prefix, beginning } = prefixOf(algorithm)
    if (key === undefined) return prefix
    const part = key(context)
    if (part === undefined) return undefined
    if (typeof policy === 'function') return build(part)
    if (typeof part === 'string') {
      let known = keysByText.get(part)
      if (known === undefined) {
        known = build(part)
        if (keysByText.size >= mostKept) keysByText.clear()
        keysByText.set(part, known)
      }
      return known
    }
    if (typeof part !== 'object' || part === null || !isLasting(part)) return build(part)
    let known = keysByObject.get(part)
    if (known === undefined) keysByObject.set(part, (known = build(part)))
    return known

    function build(value: KeyPart): string {
      return `${prefix}:${keys.key(algorithm, value).slice(beginning)}`
    }
  }

  return {
    name,
    hasKey: key !== undefined,
    keyOf,
    resolve(to, context, mode, options) {
      const present = typeof policy === 'function' ? policy(context) : policy
      if (present === undefined) return
      const found = keyOf(context, present)
      if (found === undefined) return
      to.keys.push(found)
      to.rows.push(rowFor(present, mode, options))
      to.names.push(name)
    },
  }
}
