import type { KeySpace, Log, RedisConnection } from '@wattle/redis'
import { decisionOfLocal, decisionOfNobody, decisionOfReply, unlimited } from './decision.ts'
import type { Decider } from './decider.ts'
import { createLeases, type Grant } from './lease.ts'
import { prepareLevels, type Mode, type Resolved } from './levels.ts'
import type { CallOptions, Decision, Limit, LimitOptions, Receipt } from './limit.ts'
import type { LocalLimiter } from './local.ts'
import type { Policy } from './policy.ts'
import { rowOf, type Row } from './row.ts'
import type { Tally } from './statistics.ts'

/** How a limit looks at another: its levels, to be looked at and not charged. */
const looks = new WeakMap<object, (to: Resolved, context: unknown) => void>()
const groups = new WeakMap<object, string | undefined>()

type Deps = {
  redis: RedisConnection
  keys: KeySpace
  log: Log
  decider: Decider
  local: LocalLimiter
  tally: Tally
  now: () => number
  maxLocalKeys: number
}

/** See `define` of `RateLimits`. */
export function defineLimit<C>(deps: Deps, name: string, options: LimitOptions<C>): Limit<C> {
  const { redis, keys, log, decider, local, tally, now } = deps
  const { withoutRedis = 'local', localShare = 0.5, lease, onReached, dependsOn = [] } = options
  const levels = prepareLevels(keys, name, options)
  const leasedPolicy = lease === undefined ? undefined : policyOf(options)
  check()

  const leases =
    lease &&
    createLeases({
      size: lease.size,
      maxAgeMs: lease.maxAgeMs ?? leasedPolicy?.windowMs ?? 60_000,
      maxEntries: deps.maxLocalKeys,
      now,
      ask: askForUnits,
    })

  function check(): void {
    if (!(localShare > 0 && localShare <= 1)) {
      throw new RangeError(`The localShare of the limit ${name} is ${localShare}: give 0 < n <= 1.`)
    }
    for (const { on } of dependsOn) {
      if (options.group === undefined || groups.get(on) !== options.group) {
        throw new TypeError(
          `The limit ${name} depends on ${on.name}: give both the same group, so that one script can see both.`,
        )
      }
    }
    if (!lease) return
    if (levels.length > 1 || dependsOn.length > 0) {
      throw new TypeError(`The limit ${name} is leased and has several levels: lease one level.`)
    }
    const [level] = 'levels' in options ? options.levels : []
    if (level?.scale !== undefined || level?.reserve !== undefined) {
      throw new TypeError(`The limit ${name} is leased: its level takes neither scale nor reserve.`)
    }
    const policy = leasedPolicy
    if (policy === undefined || policy.algorithm === 'leaky-bucket') {
      throw new TypeError(`The limit ${name} is leased: give it a fixed policy that is no queue.`)
    }
    if (!Number.isSafeInteger(lease.size) || lease.size < 1 || lease.size > policy.capacity) {
      throw new RangeError(
        `The lease of the limit ${name} is ${lease.size}: give a whole number from 1 to ${policy.capacity}.`,
      )
    }
  }

  function resolve(context: C, mode: Mode, call: CallOptions | undefined): Resolved {
    const to: Resolved = { keys: [], rows: [], names: [] }
    for (const level of levels) level.resolve(to, context, mode, call)
    for (const { on, contextOf } of dependsOn) looks.get(on)?.(to, contextOf(context))
    return to
  }

  function withoutAsking(resolved: Resolved, cost: number): Decision {
    if (withoutRedis === 'closed') return decisionOfNobody(resolved)
    const verdict = local.decide(resolved.keys, resolved.rows, localShare)
    return decisionOfLocal(resolved, verdict, cost, now())
  }

  function decide(
    resolved: Resolved,
    cost: number,
    finish: (decision: Decision) => Decision,
  ): Promise<Decision> {
    if (resolved.rows.length === 0) return Promise.resolve(finish(unlimited))
    if (!decider.isAvailable) return Promise.resolve(finish(withoutAsking(resolved, cost)))
    return new Promise((settle) => {
      decider.decide(resolved.keys, resolved.rows, (reply, at) => {
        const decision =
          reply === undefined
            ? withoutAsking(resolved, cost)
            : decisionOfReply(resolved, reply, at, cost)
        settle(finish(decision))
      })
    })
  }

  function settled(decision: Decision, context: C): Decision {
    tally.decided(decision)
    if (!decision.allowed && onReached !== undefined) {
      try {
        onReached(decision, context)
      } catch (error) {
        log.error({ err: error, limit: name }, 'what is called when a limit is reached threw')
      }
    }
    return decision
  }

  function askForUnits(key: string, row: Row): Promise<Grant> {
    if (!decider.isAvailable) return Promise.resolve(undefined)
    return new Promise((settle) => {
      decider.decide([key], [row], (reply, at) => {
        if (reply === undefined) return settle(undefined)
        const [allowed, remaining = 0, resetUs = 0, last = 0] = reply.slice(at, at + 4)
        // Where it asks for more than it needs, the last value is how much it got.
        const { need, most } = row.step
        const got = most > need ? last : most
        const granted = allowed === 1 ? got : 0
        const retryAfterMs = allowed === 1 ? 0 : Math.max(1, last / 1000)
        settle({ granted, remaining, resetMs: resetUs / 1000, retryAfterMs })
      })
    })
  }

  function take(context: C, call?: CallOptions): Promise<Decision> {
    const cost = call?.cost ?? 1
    if (leases !== undefined && call === undefined) {
      const key = levels[0]?.keyOf(context, leasedPolicy as Policy)
      const decided = key === undefined ? undefined : leases.decideNow(key, cost)
      if (decided !== undefined) return Promise.resolve(settled(decided, context))
    }
    const resolved = resolve(context, 'take', call)
    if (leases === undefined || resolved.rows.length === 0) {
      return decide(resolved, cost, (decision) => settled(decision, context))
    }
    return leases
      .decide(resolved, cost)
      .then((decision) => settled(decision ?? withoutAsking(resolved, cost), context))
  }

  async function giveBack({ by, keys: charged, rows, cost, atUs }: Receipt): Promise<boolean> {
    if (by === 'lease') return leases?.giveBack(charged[0] as string, cost) === true
    const ofCharged = rows.flatMap((row, n) =>
      row.step.most > 0 ? [[row, charged[n]] as const] : [],
    )
    const back = ofCharged.map(([{ policy }]) =>
      rowOf(policy, { need: 0, most: -cost, chargedAtUs: atUs }),
    )
    const keysOfBack = ofCharged.map(([, key]) => key as string)
    if (by === 'local') return local.decide(keysOfBack, back, localShare).allowed
    if (!decider.isAvailable) return false
    return new Promise((settle) => {
      decider.decide(keysOfBack, back, (reply) => settle(reply !== undefined))
    })
  }

  const limit: Limit<C> = {
    name,
    take,
    peek: (context, call) => decide(resolve(context, 'peek', call), 0, (decision) => decision),
    async refund({ receipt }) {
      if (receipt === undefined || receipt.refunded) return false
      receipt.refunded = true
      const given = await giveBack(receipt)
      if (given) tally.refunded()
      return given
    },
    async reset(context, only) {
      const chosen = levels.filter(
        (level) => only?.includes(level.name) ?? (level.hasKey || levels.length === 1),
      )
      const to: Resolved = { keys: [], rows: [], names: [] }
      for (const level of chosen) level.resolve(to, context, 'peek', undefined)
      for (const key of to.keys) {
        local.forget(key)
        leases?.forget(key)
      }
      try {
        await Promise.all(to.keys.map((key) => redis.client.del(key)))
        return true
      } catch {
        return false
      }
    },
    statistics: tally.read,
    keysOf: (context) => resolve(context, 'peek', undefined).keys,
  }
  groups.set(limit, options.group)
  looks.set(limit, (to, context) => {
    const from = to.names.length
    for (const level of levels) level.resolve(to, context as C, 'peek', undefined)
    for (let n = from; n < to.names.length; n++)
      to.names[n] = to.names[n] === name ? name : `${name}.${to.names[n]}`
  })
  return limit
}

function policyOf<C>(options: LimitOptions<C>) {
  const [{ policy } = { policy: undefined }] = 'levels' in options ? options.levels : [options]
  return typeof policy === 'object' ? policy : undefined
}
