import { setTimeout as delay } from 'node:timers/promises'
import { AppError, defineRoute } from '@wattle/contracts'
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { addRoute } from '../route.ts'
import type { CacheCare } from './care.ts'

const closed = { additionalProperties: false }
const count = Type.Integer({ minimum: 0 })
const ofJob = Type.Object({ job: Type.String({ pattern: '^[a-z0-9-]{1,60}$' }) }, closed)

const Run = Type.Object({
  job: Type.String(),
  state: Type.Enum(['running', 'paused', 'done', 'stopped', 'interrupted', 'failed']),
  startedAtMs: Type.Integer(),
  durationMs: count,
  found: count,
  warmed: count,
  present: count,
  skipped: count,
  failed: count,
  error: Type.Optional(Type.String()),
})

const HotKeys = Type.Object({
  keys: Type.Array(
    Type.Object({
      kind: Type.String(),
      key: Type.String(),
      count: Type.Number(),
      share: Type.Number(),
    }),
  ),
  total: Type.Number(),
  errorAtMost: Type.Number({ description: 'No count is further from the truth' }),
})

const Care = Type.Object({
  service: Type.String(),
  budget: Type.Object({
    budgetBytes: count,
    bytes: Type.Integer({ description: 'As this process saw it last; 0 where another one looks' }),
    keys: count,
    removed: count,
    problems: Type.Array(Type.String(), { description: 'Of the memory of the shared Redis' }),
  }),
  consistency: Type.Object(
    {
      checked: count,
      inconsistent: count,
      undecided: count,
      ratio: Type.Number(),
      inconsistentAtMost: Type.Number(),
      nines: Type.Number(),
      findings: Type.Array(
        Type.Object({
          kind: Type.String(),
          key: Type.String(),
          tier: Type.Enum(['l1', 'l2']),
          atMs: Type.Integer(),
        }),
      ),
    },
    { description: 'What this process has compared with the database since it started' },
  ),
  hotKeys: Type.Object({ reads: HotKeys, misses: HotKeys }),
  warming: Type.Array(
    Type.Object({
      name: Type.String(),
      priority: Type.Enum(['high', 'medium', 'low']),
      everyMs: count,
      present: Type.Union([Run, Type.Null()], { description: 'Under way, in whichever process' }),
      past: Type.Array(Run, { description: 'The last twenty, newest first' }),
    }),
  ),
})

/** Seeing and steering how a service looks after its cache; every service that caches has them. */
export const careRoutes = {
  cacheCare: defineRoute({
    name: 'cacheCare',
    method: 'GET',
    path: '/operator/cache',
    summary: 'Budget, consistency, hot keys and warming of the cache of this service',
    auth: 'operator',
    replies: { 200: Care },
  }),
  startWarming: defineRoute({
    name: 'startWarming',
    method: 'POST',
    path: '/operator/cache/warming/:job',
    summary: 'Start a warming job now; it goes on after the answer',
    auth: 'operator',
    params: ofJob,
    replies: {
      202: Type.Object({
        started: Type.Boolean({
          description:
            'False: it is under way, was stopped in another process less than ten seconds ago, or Redis is away',
        }),
      }),
    },
    errors: ['NOT_FOUND'],
  }),
  stopWarming: defineRoute({
    name: 'stopWarming',
    method: 'DELETE',
    path: '/operator/cache/warming/:job',
    summary: 'Stop a warming job, in whichever process it runs; it ends within a second',
    auth: 'operator',
    params: ofJob,
    replies: { 204: Type.Null() },
    errors: ['NOT_FOUND'],
  }),
} as const

const soonMs = 250

/** For operators of the service; needs an `authenticate`, and is left out where there is none. */
export function addCareRoutes(app: FastifyInstance, care: CacheCare): void {
  if (app.service.authenticate === undefined) return
  const { budget, audit, hotKeys, warming } = care

  addRoute(app, careRoutes.cacheCare, async () => {
    const [reads, misses, jobs] = await Promise.all([
      hotKeys.top('reads'),
      hotKeys.top('misses'),
      warming.status(),
    ])
    const report = audit.report()
    return {
      service: app.service.name,
      budget: { ...budget.usage(), problems: [...care.budgetProblems()] },
      consistency: { ...report, findings: [...report.findings] },
      hotKeys: {
        reads: { ...reads, keys: [...reads.keys] },
        misses: { ...misses, keys: [...misses.keys] },
      },
      warming: jobs.map(({ present = null, past, ...job }) => ({
        ...job,
        present,
        past: [...past],
      })),
    }
  })

  async function assertNamed(job: string): Promise<void> {
    if ((await warming.status()).some(({ name }) => name === job)) return
    throw new AppError('NOT_FOUND', `No warming job is called ${job}.`)
  }

  addRoute(app, careRoutes.startWarming, async ({ params: { job }, user, request }) => {
    await assertNamed(job)
    request.log.info({ job, operator: user.userId }, 'an operator starts a warming job')
    // Where it may not begin, that is mostly known at once; behind another job it waits.
    const run = warming.run(job).then((ended) => ended !== undefined)
    return { started: await Promise.race([run, delay(soonMs, true)]) }
  })

  addRoute(app, careRoutes.stopWarming, async ({ params: { job }, user, request, reply }) => {
    await assertNamed(job)
    request.log.info({ job, operator: user.userId }, 'an operator stops a warming job')
    await warming.stop(job)
    reply.code(204)
    return null
  })
}
