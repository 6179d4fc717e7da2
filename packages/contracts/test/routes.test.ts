import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, expectTypeOf, test } from 'vitest'
import { Compile } from 'typebox/compile'
import type { TSchema } from 'typebox'
import * as contracts from '@wattle/contracts'
import type {
  Bill,
  Id,
  RouteContract,
  RouteInput,
  RouteReply,
  RouteRequest,
} from '@wattle/contracts'

const {
  accountRoutes,
  billingRoutes,
  couponRoutes,
  errorCodes,
  operatorRoutes,
  paymentRoutes,
  reservationRoutes,
  sessionRoutes,
  userRoutes,
} = contracts

/** Every route table that the package exports, by the service that has it. */
const services = {
  user: [userRoutes, sessionRoutes, accountRoutes, operatorRoutes],
  billing: [billingRoutes, couponRoutes, reservationRoutes],
  payment: [paymentRoutes],
}

type Named = { service: string; key: string; route: RouteContract }
const all: Named[] = Object.entries(services).flatMap(([service, tables]) =>
  tables.flatMap((table) =>
    Object.entries<RouteContract>(table).map(([key, route]) => ({ service, key, route })),
  ),
)
const cases = all.map((named) => [`${named.service}.${named.key}`, named] as const)

type Node = {
  type?: string
  properties?: Record<string, Node>
  items?: Node
  anyOf?: Node[]
  enum?: unknown[]
  const?: unknown
  additionalProperties?: unknown
  minimum?: number
  maximum?: number
  maxLength?: number
  maxItems?: number
  pattern?: string
  format?: string
}

/** Every schema inside a schema, with its path. */
function* nodesOf(schema: TSchema | undefined, path = ''): Generator<[string, Node]> {
  if (schema === undefined) return
  const node = schema as Node
  yield [path, node]
  for (const [name, child] of Object.entries(node.properties ?? {}))
    yield* nodesOf(child, `${path}.${name}`)
  if (node.items !== undefined) yield* nodesOf(node.items, `${path}[]`)
  for (const branch of node.anyOf ?? []) yield* nodesOf(branch, path)
}

const inputsOf = ({ params, query, body }: RouteContract) =>
  [params, query, body].flatMap((schema) => [...nodesOf(schema)])

describe('the route tables', () => {
  test('are all looked at here', () => {
    const tables = Object.keys(contracts).filter((name) => name.endsWith('Routes'))
    expect(tables).toHaveLength(Object.values(services).flat().length)
  })

  test('have each method and path once, also where the gateway puts all services side by side', () => {
    const shape = ({ route }: Named) => `${route.method} ${route.path.replaceAll(/:\w+/g, ':')}`
    expect(new Set(all.map(shape)).size).toBe(all.length)
  })
})

describe('T3 while nobody can tell whether a token was revoked', () => {
  test('what moves money, changes credentials or acts on others is closed, and nothing else', () => {
    const closed = all.filter(({ route }) => route.whenUnknown === 'closed')
    expect(closed.map(({ key }) => key).toSorted()).toEqual([
      'cancelPayment',
      'changePassword',
      'confirmPayment',
      'createPayment',
      'endUserSessions',
      'refundPayment',
      'revoke',
      'setUserStatus',
    ])
    for (const { route } of closed) expect(['user', 'operator']).toContain(route.auth)
  })
})

describe.each(cases)('%s', (_name, { key, route }) => {
  test('goes by the name of its key', () => {
    expect(route.name).toBe(key)
  })

  test('has the parameters of its path, all and only', () => {
    const inPath = [...route.path.matchAll(/:(\w+)/g)].map(([, name]) => name)
    expect(Object.keys(route.params?.properties ?? {})).toEqual(inPath)
  })

  test('takes a body only with a method that has one', () => {
    expect(route.body === undefined || route.method !== 'GET').toBe(true)
  })

  test('refuses unknown fields of its input, at every depth', () => {
    const open = inputsOf(route).filter(
      ([, node]) => node.type === 'object' && node.additionalProperties !== false,
    )
    expect(open.map(([path]) => path)).toEqual([])
  })

  test('bounds every text, number and list of its input', () => {
    const unbounded = inputsOf(route).filter(([, node]) => {
      if (node.type === 'string') return !isBounded(node)
      if (node.type === 'integer') return node.minimum === undefined || node.maximum === undefined
      return node.type === 'array' && node.maxItems === undefined
    })
    expect(unbounded.map(([path]) => path)).toEqual([])
  })

  test('knows no floating-point number, so that money never is one', () => {
    const schemas = [
      ...inputsOf(route),
      ...Object.values(route.replies).flatMap((schema) => [...nodesOf(schema)]),
    ]
    expect(schemas.filter(([, node]) => node.type === 'number').map(([path]) => path)).toEqual([])
  })

  test('answers with 2xx, and never with a secret but the token that was asked for', () => {
    for (const status of Object.keys(route.replies)) expect(Number(status)).toBeLessThan(300)
    const names = Object.values(route.replies).flatMap((schema) =>
      [...nodesOf(schema)].map(([path]) => path),
    )
    expect(names.filter((name) => /password|hash|secret/i.test(name))).toEqual([])
  })

  test('names errors that exist, each once', () => {
    const errors = route.errors ?? []
    expect(new Set(errors).size).toBe(errors.length)
    for (const code of errors) expect(errorCodes).toHaveProperty(code)
  })
})

function isBounded({ maxLength, pattern, enum: choices, const: only }: Node): boolean {
  if (maxLength !== undefined || choices !== undefined || only !== undefined) return true
  return (
    pattern !== undefined &&
    /^\^[^+*]*\$$/.test(pattern.replaceAll(/\{\d+,\d+\}|\\\+|\[[^\]]*\]/g, ''))
  )
}

describe('types', () => {
  test('of input, request and reply follow from the contract', () => {
    expectTypeOf<RouteInput<typeof billingRoutes.getBill>>().toMatchObjectType<{
      params: { billId: Id<'bil'> }
    }>()
    expectTypeOf<RouteInput<typeof billingRoutes.listBills>['query']>().toEqualTypeOf<
      Partial<contracts.BillQuery> | undefined
    >()
    expectTypeOf<
      RouteRequest<typeof billingRoutes.listBills>['query']['limit']
    >().toEqualTypeOf<number>()
    expectTypeOf<RouteRequest<typeof billingRoutes.getBill>['body']>().toEqualTypeOf<undefined>()
    expectTypeOf<RouteReply<typeof billingRoutes.getBill>>().toEqualTypeOf<Bill>()
    expect(Object.keys(billingRoutes.getBill.replies)).toEqual(['200'])
  })
})

describe('what a person may send', () => {
  const accepts = (schema: TSchema, value: unknown) => Compile(schema).Check(value)
  const person = { email: 'ada@example.ng', password: 'correct horse', name: 'Ada Obi' }

  test.each([
    { email: 'ADA+bills@example.ng' },
    { name: 'Ọláńrewájú Adébáyọ̀' },
    { name: 'O' },
    { name: '李 小龍' },
    { phone: '+2348012345678' },
    { password: 'p'.repeat(128) },
  ])('%j is taken', (change) => {
    expect(accepts(userRoutes.register.body, { ...person, ...change })).toBe(true)
  })

  test.each([
    { email: 'ada' },
    { email: 'ada@example.ng\r\nBcc: all@example.ng' },
    { email: 'ada@example.ng ' },
    { email: `${'a'.repeat(250)}@x.ng` },
    { name: '' },
    { name: ' \t' },
    { name: 'a\u0000b' },
    { name: 'a\nb' },
    { name: 'n'.repeat(101) },
    { phone: '08012345678' },
    { phone: '+0123456789' },
    { phone: '+234801234567890123' },
    { password: 'short' },
    { password: 'p'.repeat(129) },
    { password: 1234567890 },
    { role: 'operator' },
    { id: 'usr_1' },
  ])('%j is refused', (change) => {
    expect(accepts(userRoutes.register.body, { ...person, ...change })).toBe(false)
  })

  test('a change of nothing is no change', () => {
    expect(accepts(userRoutes.updateMe.body, {})).toBe(false)
    expect(accepts(userRoutes.updateMe.body, { phone: null })).toBe(true)
    expect(accepts(userRoutes.updatePreferences.body, { dueReminderDays: 31 })).toBe(false)
  })
})

test('no file needs Node: the package is safe in a browser', () => {
  const folder = new URL('../src/', import.meta.url)
  for (const file of readdirSync(folder)) {
    expect(readFileSync(new URL(file, folder), 'utf8')).not.toMatch(
      /from 'node:|\bprocess\.|\bBuffer\b/,
    )
  }
})
