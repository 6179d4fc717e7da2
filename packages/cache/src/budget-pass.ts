import { defineScript, type RedisClient } from '@wattle/redis'
import type { Aim } from './budget-aim.ts'
import type { Space } from './space.ts'

const script = defineScript(new URL('./lua/weigh.lua', import.meta.url))

/** One server. */
type Node = Exclude<RedisClient, { nodes: unknown }>

/** What is to go: entries colder than `level`, and a share of those at it. */
export type Threshold = { readonly level: number; readonly share: number }
export const nothingGoes: Threshold = { level: -1, share: 0 }

/** What one walk over the namespace left. */
export type Weight = {
  readonly keys: number
  readonly bytes: number
  /** Bytes of entries by how warm they are, 0 the coldest. */
  readonly byLevel: Float64Array
  readonly removed: number
  /** How many steps it took. */
  readonly steps: number
}

export type PassOptions = {
  space: Space
  /** How the server tells what is cold: by use where it counts uses, else by the time since the last. */
  measure: 'FREQ' | 'IDLETIME'
  kinds: readonly string[]
  aim: Aim
  passMs: number
  /** How many steps the last walk took. */
  lastSteps: number | undefined
  /** Asked between the steps; the walk ends when it says no. */
  mayGoOn: () => Promise<boolean>
  /** Waits, or until the walk is to end. */
  pause: (ms: number) => Promise<void>
}

/** Keys that a step looks at, whoever they belong to: it blocks the server for 0.2 ms, or 1 ms where all are its own. */
const perStep = 250
const levels = 256
/** Of one step, before the walk is given up. */
const mostFailures = 10

/** The masters: one, except in a cluster. */
export const mastersOf = ({ redis: { client } }: Pick<Space, 'redis'>): readonly Node[] =>
  'nodes' in client ? client.nodes('master') : [client]

/**
 * Walks over the keys of every master once, in small steps spread over `passMs`. Undefined when it was ended early.
 * Rejects when Redis does.
 */
export async function pass(options: PassOptions): Promise<Weight | undefined> {
  const { space, aim, passMs, mayGoOn, pause } = options
  const masters = mastersOf(space)
  const sizes = await Promise.all(masters.map((node) => node.dbsize()))
  const steps =
    options.lastSteps ?? Math.max(1, sizes.reduce((sum, size) => sum + size, 0) / perStep)
  aim.begin(passMs)
  const startedMs = space.now()
  const byLevel = new Float64Array(levels)
  const found = { keys: 0, bytes: 0, removed: 0 }
  let step = 0

  for (const node of masters) {
    let cursor = '0'
    do {
      const share = Math.min(1, (step + 1) / steps)
      const threshold = aim.thresholdUntil(share)
      const reply = await insistently(() => weigh(node, cursor, threshold, options), options)
      if (!reply) return undefined
      const [next, removed, freed, keys, others, ...rest] = reply
      cursor = String(next)
      const [left, gone, goneBytes] = [Number(keys), Number(removed), Number(freed)]
      aim.saw({ keys: left, removed: gone, removedBytes: goneBytes }, share)
      found.removed += gone
      found.keys += left
      found.bytes += Number(others)
      for (let at = 0; at < rest.length; at += 2) {
        const bytes = Number(rest[at + 1])
        const level = Number(rest[at])
        byLevel[level] = (byLevel[level] ?? 0) + bytes
        found.bytes += bytes
      }
      step++
      // Keys that came meanwhile are no reason to take longer.
      const aheadMs = share * passMs - (space.now() - startedMs)
      if (aheadMs > 1) await pause(aheadMs)
      if (!(await mayGoOn())) return undefined
    } while (cursor !== '0')
  }
  return { ...found, byLevel, steps: step }
}

type Reply = (string | number)[]

/** Tries again what fails: a step does no harm when it is done twice. Undefined when it was ended meanwhile. */
async function insistently(
  step: () => Promise<Reply>,
  { mayGoOn, pause }: Pick<PassOptions, 'mayGoOn' | 'pause'>,
): Promise<Reply | undefined> {
  for (let failures = 0; ;) {
    try {
      return await step()
    } catch (cause) {
      if (++failures === mostFailures) throw cause
      await pause(failures * 100)
      if (!(await mayGoOn())) return undefined
    }
  }
}

async function weigh(
  node: Node,
  cursor: string,
  { level, share }: Threshold,
  { space, measure, kinds }: PassOptions,
): Promise<Reply> {
  const seed = Math.floor(space.random() * 2 ** 31)
  const args = [cursor, perStep, space.keys.prefix, measure, level, share, seed]
  // On the node itself: no key says which one it should be.
  try {
    return (await node.evalsha(script.sha, 0, ...args, ...kinds)) as Reply
  } catch (cause) {
    if (!(cause instanceof Error && cause.message.startsWith('NOSCRIPT'))) throw cause
    return (await node.eval(script.source, 0, ...args, ...kinds)) as Reply
  }
}

/** Below which level, and at which share of it, this many bytes are. */
export function thresholdFor(byLevel: Float64Array, bytes: number): Threshold {
  if (bytes <= 0) return nothingGoes
  let left = bytes
  for (let level = 0; level < byLevel.length; level++) {
    const here = byLevel[level] ?? 0
    if (here >= left) return { level, share: left / here }
    left -= here
  }
  return { level: byLevel.length - 1, share: 1 }
}
