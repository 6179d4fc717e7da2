import { Compile } from 'typebox/compile'
import {
  AppError,
  errorCodes,
  ProblemDocument,
  type ErrorCode,
  type RouteContract,
} from '@wattle/contracts'
import { schemaFaults } from './schema-faults.ts'

export type RawReply = {
  readonly status: number
  readonly contentType: string
  readonly retryAfter: string | undefined
  readonly text: string
}

const isProblem = Compile(ProblemDocument)

/**
 * The body of a successful reply, checked against the contract. Problem documents become the AppError that the service
 * threw; what is not a reply of this contract becomes BAD_GATEWAY, its reason in the cause.
 */
export function readReply(service: string, contract: RouteContract, reply: RawReply): unknown {
  const schema = contract.replies[reply.status]
  if (schema === undefined) throw errorOf(service, contract, reply)
  if (reply.status === 204) return undefined
  const value = parseJson(service, contract, reply)
  const faults = schemaFaults(schema, value)
  if (faults === undefined) return value
  throw wrongReply(service, contract, `the body of ${reply.status} does not fit: ${faults}`)
}

function errorOf(service: string, contract: RouteContract, reply: RawReply): AppError {
  if (!reply.contentType.startsWith('application/problem+json')) {
    // A load balancer says it this way when no process is left behind it.
    if (reply.status === 503) return unavailable(service, reply)
    return wrongReply(service, contract, `status ${reply.status} is not in the contract`)
  }
  const problem = parseJson(service, contract, reply)
  if (!isProblem.Check(problem) || !isKnownCode(problem.code)) {
    return wrongReply(service, contract, `the problem document of ${reply.status} is malformed`)
  }
  const cause = new Error(
    `${service}.${contract.name} answered ${reply.status} ${problem.code}: ${problem.detail}`,
  )
  if (problem.code === 'INTERNAL') {
    return new AppError('BAD_GATEWAY', `The ${service} service failed.`, { cause })
  }
  const retryAfterSeconds = Number(reply.retryAfter)
  return new AppError(problem.code, problem.detail, {
    cause,
    ...(problem.errors === undefined ? {} : { fields: problem.errors }),
    ...(retryAfterSeconds >= 0 ? { retryAfterSeconds } : {}),
  })
}

function unavailable(service: string, { retryAfter, status }: RawReply): AppError {
  const retryAfterSeconds = Number(retryAfter)
  return new AppError('UNAVAILABLE', `The ${service} service is not available at the moment.`, {
    cause: new Error(`${service} answered ${status} without a problem document`),
    ...(retryAfterSeconds >= 0 ? { retryAfterSeconds } : {}),
  })
}

function parseJson(service: string, contract: RouteContract, reply: RawReply): unknown {
  if (!/^application\/(problem\+)?json\b/.test(reply.contentType)) {
    throw wrongReply(service, contract, `the body of ${reply.status} is not JSON`)
  }
  try {
    return JSON.parse(reply.text) as unknown
  } catch {
    throw wrongReply(service, contract, `the body of ${reply.status} is malformed JSON`)
  }
}

/** BAD_GATEWAY: the service answered, but not by its contract. */
export function wrongReply(service: string, contract: RouteContract, reason: string): AppError {
  return new AppError('BAD_GATEWAY', `The ${service} service answered wrongly.`, {
    cause: new Error(`${service}.${contract.name}: ${reason}`),
  })
}

function isKnownCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorCodes, code)
}
