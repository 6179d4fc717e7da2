import { AppError, type RouteContract } from '@wattle/contracts'
import { deadlineHeader, defaultDeadlineMs, type Deadline } from './deadline.ts'
import { traceHeaders, type Trace } from './trace.ts'

/** What a call takes over from the request in whose course it is made; a FastifyRequest of this kit fits. */
export type CallContext = {
  readonly id: string
  readonly trace: Trace
  readonly deadline: Pick<Deadline, 'remainingMs' | 'signal'>
}

export type LooseInput = {
  readonly params?: object | undefined
  readonly query?: object | undefined
  readonly body?: unknown
}

/** How much earlier than its caller the called service should give up, so that its answer still arrives. */
const marginMs = 20

/** The path of a route with its parameters and query filled in. Nothing in a parameter can leave its segment. */
export function pathOf(contract: RouteContract, input: LooseInput): string {
  const params = { ...input.params } as Record<string, unknown>
  const path = contract.path
    .split('/')
    .map((segment) => (segment.startsWith(':') ? parameter(segment.slice(1), params) : segment))
    .join('/')
  const query = queryOf(input.query)
  return query === '' ? path : `${path}?${query}`
}

function parameter(name: string, params: Record<string, unknown>): string {
  const text = asText(params[name])
  // A dot segment would be resolved on the way, even percent-encoded (WHATWG URL).
  if (text === '' || text === '.' || text === '..') {
    const problem = 'must not be empty, . or ..'
    throw new AppError('VALIDATION_FAILED', `params.${name} ${problem}.`, {
      fields: [{ in: 'params', field: name, problem }],
    })
  }
  return encodeURIComponent(text.toWellFormed())
}

function asText(value: unknown): string {
  if (typeof value === 'string') return value
  return value === undefined ? '' : JSON.stringify(value)
}

function queryOf(query: object | undefined): string {
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(query ?? {}) as [string, unknown][]) {
    if (value === undefined) continue
    for (const one of [value].flat()) search.append(name, asText(one))
  }
  return search.toString()
}

/**
 * The headers that every call within the system carries: request id, trace, what is left of the time less a margin, and
 * the token.
 */
export function callHeaders(options: {
  context?: CallContext | undefined
  token?: string | undefined
  /** Time left, where it is less than the context's. */
  remainingMs?: number
}): Record<string, string> {
  const { context, token } = options
  const remainingMs = options.remainingMs ?? context?.deadline.remainingMs() ?? defaultDeadlineMs
  const budgetMs = Math.max(1, Math.floor(remainingMs - Math.min(marginMs, remainingMs / 10)))
  return {
    [deadlineHeader]: String(Math.min(budgetMs, 60_000)),
    ...(context === undefined
      ? {}
      : { 'x-request-id': context.id, ...traceHeaders(context.trace) }),
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
  }
}
