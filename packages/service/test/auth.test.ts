import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Type } from 'typebox'
import { defineRoute, type RouteAuth } from '@wattle/contracts'
import { addRoute } from '@wattle/service'
import { ask, startApp, type TestApp } from './support.ts'

const route = <A extends RouteAuth>(auth: A, callers?: readonly string[]) =>
  defineRoute({
    name: `for-${auth}`,
    method: 'POST',
    path: `/for-${auth}${callers?.map((name) => `-${name}`).join('') ?? ''}`,
    summary: 'x',
    auth,
    ...(callers === undefined ? {} : { callers }),
    body: Type.Object({ a: Type.Optional(Type.Integer()) }, { additionalProperties: false }),
    replies: { 200: Type.Object({ who: Type.String() }) },
  })

let service: TestApp
beforeAll(async () => {
  service = await startApp((app) => {
    addRoute(app, route('public'), ({ user }) => ({ who: String(user) }))
    addRoute(app, route('user'), ({ user }) => ({ who: user.userId }))
    addRoute(app, route('operator'), ({ user }) => ({ who: user.roles.join() }))
    addRoute(app, route('service'), ({ user }) => ({ who: user.service }))
    addRoute(app, route('service', ['billing']), ({ user }) => ({ who: user.service }))
    addRoute(app, route('service', ['payment']), ({ user }) => ({ who: user.service }))
    addRoute(app, route('service', ['payment', 'billing']), ({ user }) => ({ who: user.service }))
  })
})
afterAll(() => service.app.close())

async function call(auth: string, token?: string) {
  const answer = await ask(`${service.url}/for-${auth}`, {
    method: 'POST',
    body: '{"a":1}',
    headers: {
      'content-type': 'application/json',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
  })
  return {
    ...answer,
    outcome:
      answer.status === 200
        ? (JSON.parse(answer.text) as { who: string }).who
        : answer.problem.code,
  }
}

describe('a route', () => {
  test.each([
    ['public', undefined, 'undefined'],
    ['user', undefined, 'UNAUTHENTICATED'],
    ['user', 'usr_1', 'usr_1'],
    ['user', 'service', 'FORBIDDEN'],
    ['operator', undefined, 'UNAUTHENTICATED'],
    ['operator', 'usr_1', 'FORBIDDEN'],
    ['operator', 'operator', 'operator'],
    ['operator', 'service', 'FORBIDDEN'],
    ['service', undefined, 'UNAUTHENTICATED'],
    ['service', 'usr_1', 'FORBIDDEN'],
    ['service', 'operator', 'FORBIDDEN'],
    ['service', 'service', 'billing'],
    ['service-billing', 'service', 'billing'],
    ['service-payment-billing', 'service', 'billing'],
    ['service-payment', 'service', 'FORBIDDEN'],
    ['service-billing', 'operator', 'FORBIDDEN'],
    ['service-billing', undefined, 'UNAUTHENTICATED'],
  ] as const)('for %s, asked with the token %s, answers %s', async (auth, token, outcome) => {
    expect((await call(auth, token)).outcome).toBe(outcome)
  })

  test('that refuses says how to authenticate', async () => {
    const { status, headers, problem } = await call('user')
    expect(status).toBe(401)
    expect(headers.get('www-authenticate')).toBe('Bearer')
    expect(problem.detail).toBe('Send a token.')
  })

  test('does not read the body of those it does not let in', async () => {
    const answer = await ask(`${service.url}/for-user`, {
      method: 'POST',
      body: 'not json',
      headers: { 'content-type': 'text/plain' },
    })
    expect(answer.status).toBe(401)
  })
})
