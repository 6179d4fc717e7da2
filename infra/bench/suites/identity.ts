import jwt from '@fastify/jwt'
import { newId } from '@wattle/contracts'
import {
  accessTokens,
  generateSigningKey,
  readSigningKeys,
  requireValid,
  revocations,
  type AccessPrincipal,
  type Revocation,
} from '@wattle/identity'
import Fastify from 'fastify'
import { createPublicKey } from 'node:crypto'
import { rowOf, type Row } from '../harness/row.ts'
import { runAlone, suiteOptions } from '../harness/suite.ts'

/**
 * What it costs a gateway to know who asks: signature, claims, session and revocation, beside the plain verification of
 * the same tokens by @fastify/jwt, which knows nothing of the last two. Measured is processor time of the whole process
 * (garbage included), not the clock, since the machine may have other things to do.
 */

const people = 1_000
const revoked = 10_000

/** Checks the next of the tokens; resolves when it is known to be good. */
type Check = {
  readonly name: string
  readonly ours: boolean
  check(turn: number): Promise<unknown>
}

async function contenders(): Promise<{ first: Check[]; again: Check[]; view: Check[] }> {
  const pem = generateSigningKey()
  const signingKeys = readSigningKeys(pem)
  const ours = Fastify()
  await ours.register(accessTokens, { signingKeys })
  const holders = Array.from({ length: people }, () => ({
    userId: newId('usr'),
    sessionId: newId('ses'),
    familyId: newId('fam'),
    roles: [],
  }))
  const tokens = holders.map((holder) => ours.accessTokens.issue(holder).token)
  const tokenAt = (turn: number) => tokens[turn % people] ?? ''

  const publicPem = createPublicKey(pem).export({ type: 'spki', format: 'pem' }).toString()
  const plain = async (cache: boolean) => {
    const app = Fastify()
    await app.register(jwt, {
      secret: { private: pem, public: publicPem },
      sign: { algorithm: 'EdDSA' },
      verify: { algorithms: ['EdDSA'], cache },
    })
    return (turn: number) => Promise.resolve(app.jwt.verify<object>(tokenAt(turn)))
  }
  const uncached = await plain(false)
  const cached = await plain(true)

  const view = viewOf(Array.from({ length: revoked }, () => newId('ses')))
  const whole = (app: typeof ours) => async (turn: number) => {
    const principal = await app.accessTokens.verify(tokenAt(turn))
    requireValid(view.check(principal), 'closed')
    return principal
  }
  const principals: AccessPrincipal[] = await Promise.all(
    tokens.map((token) => ours.accessTokens.verify(token)),
  )
  const [anyone] = principals
  if (anyone === undefined) throw new Error('there is nobody')

  // A first sight has no memory to look into: an app of its own for each round of as many tokens as there are people.
  const strangers = { app: Fastify(), seen: people }
  const firstSight = async (turn: number) => {
    if (strangers.seen >= people) {
      strangers.app = Fastify()
      await strangers.app.register(accessTokens, { signingKeys })
      strangers.seen = 0
    }
    strangers.seen++
    return whole(strangers.app)(turn)
  }
  return {
    first: [
      { name: '@fastify/jwt', ours: false, check: uncached },
      { name: 'wattle, with session and revocation', ours: true, check: firstSight },
    ],
    again: [
      { name: '@fastify/jwt', ours: false, check: uncached },
      { name: '@fastify/jwt, cache: true', ours: false, check: cached },
      { name: 'wattle, with session and revocation', ours: true, check: whole(ours) },
    ],
    view: [
      { name: 'nothing but the promise', ours: false, check: () => Promise.resolve('valid') },
      {
        name: `view of ${revoked.toLocaleString('en-US')} revocations`,
        ours: true,
        check: (turn) => Promise.resolve(view.check(principals[turn % people] ?? anyone)),
      },
    ],
  }
}

/** A view that is synchronized and holds these. */
function viewOf(sessionIds: readonly string[]) {
  const untilMs = Date.now() + 3_600_000
  const live: Revocation[] = sessionIds.map((id) => ({ id, untilMs }))
  return revocations({
    channel(listener) {
      listener.lost()
      return {
        trustedUntilMs: () => Infinity,
        close: () => undefined,
      }
    },
    source: { load: () => Promise.resolve(live) },
  })
}

/** Microseconds of processor time for each of so many checks. */
async function cpuUs({ check }: Check, times: number): Promise<number> {
  const before = process.cpuUsage()
  for (let turn = 0; turn < times; turn++) await check(turn)
  const { user, system } = process.cpuUsage(before)
  return (user + system) / times
}

/** Median processor times of these checks, and their ratio to the first. */
async function group(
  name: string,
  checks: readonly Check[],
  options: { rounds: number; times: number; goal?: Row['goal'] },
): Promise<Row[]> {
  const { rounds, times, goal } = options
  for (const check of checks) await cpuUs(check, times)
  const took = checks.map(() => [] as number[])
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < checks.length; turn++) {
      const at = (turn + round) % checks.length
      const check = checks[at]
      if (check !== undefined) took[at]?.push(await cpuUs(check, times))
    }
  }
  const [floor = []] = took
  return checks.map(({ name: variant, ours }, at) => {
    const all = took[at] ?? []
    const ratios = all.map((one, round) => one / (floor[round] ?? Number.NaN))
    const ratio = ratios.toSorted((a, b) => a - b)[ratios.length >> 1]
    const unit = 'µs of CPU'
    return rowOf({
      group: name,
      variant,
      ours,
      unit,
      rounds: all,
      ratio,
      goal: ours ? goal : undefined,
    })
  })
}

export async function identity(options = suiteOptions({})): Promise<Row[]> {
  const { rounds, quick } = options
  const { first, again, view } = await contenders()
  const times = quick ? 2_000 : 20_000
  const goal = { of: 'value', atMost: 25 } as const
  return [
    ...(await group('a token that was seen before', again, { rounds, times, goal })),
    ...(await group('a token at first sight', first, { rounds, times: people * 4 })),
    ...(await group('a look at the revocations', view, {
      rounds,
      times: times * 10,
      goal: { of: 'value', atMost: 1 },
    })),
  ]
}

await runAlone(import.meta, 'identity', identity)
