import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AppError, defineRoute, type ProblemDocument } from '@wattle/contracts'
import { addRoute, createService } from '@wattle/service'
import { Type } from 'typebox'
import {
  addNoteRoutes,
  ask,
  noteId,
  postJson,
  startApp,
  testConfig,
  type TestApp,
} from './support.ts'

let service: TestApp
beforeAll(async () => {
  service = await startApp(addNoteRoutes)
})
afterAll(() => service.app.close())

function fieldsOf({ errors }: ProblemDocument): Record<string, string> {
  return Object.fromEntries(
    (errors ?? []).map(({ in: part, field, problem }) => [`${part}.${field}`, problem]),
  )
}

async function write(body: unknown) {
  const answer = await postJson(
    `${service.url}/notes`,
    typeof body === 'string' ? body : JSON.stringify(body),
  )
  return { ...answer, fields: fieldsOf(answer.problem) }
}

describe('a body', () => {
  test('that fits is taken', async () => {
    expect(
      (await write({ title: 'x', phone: null, lines: [{ kind: 'a', amountMinor: 1 }] })).status,
    ).toBe(201)
  })

  test('has every faulty field named, with what is wrong and what would be right', async () => {
    const { status, problem, fields } = await write({
      email: 'nobody',
      password: 'short',
      amountMinor: 1.5,
      phone: '123',
      lines: [
        { kind: 'a', amountMinor: 1 },
        { kind: 'c', amountMinor: '1' },
      ],
    })
    expect(status).toBe(400)
    expect(problem.code).toBe('VALIDATION_FAILED')
    expect(fields).toEqual({
      'body.title': 'is missing: give a text',
      'body.email': 'must be an e-mail address',
      'body.password': 'must have at least 10 characters',
      'body.amountMinor': 'must be a whole number',
      'body.phone': 'must be a text (E.164) or null',
      'body.lines[1].kind': 'must be a or b',
      'body.lines[1].amountMinor': 'must be a whole number',
    })
    expect(problem.detail).toContain('body.title is missing')
    expect(problem.detail).toMatch(/and 4 more\.$/)
  })

  test('with unknown fields is refused, naming them and the known ones', async () => {
    const { status, fields } = await write({
      title: 'x',
      titel: 'y',
      lines: [{ kind: 'a', amountMinor: 1, vat: 1 }],
    })
    expect(status).toBe(400)
    expect(fields).toEqual({
      'body.titel': 'is not known here (known: title, email, password, amountMinor, phone, lines)',
      'body.lines[0].vat': 'is not known here (known: kind, amountMinor)',
    })
  })

  test('is not coerced: "1" is no number and 1 no text', async () => {
    const { fields } = await write({ title: 1, amountMinor: '1' })
    expect(Object.keys(fields)).toEqual(['body.title', 'body.amountMinor'])
  })

  test.each([
    ['a list', '[]'],
    ['null', 'null'],
    ['a number', '5'],
    ['a text', '"title"'],
  ])('that is %s instead of an object is refused', async (_name, body) => {
    const { status, problem } = await write(body)
    expect(status).toBe(400)
    expect(problem.detail).toMatch(
      /^The body (must be an object|is missing; send a JSON object)\.$/,
    )
  })

  test('with NUL, half a surrogate pair, or a number that loses precision is refused, naming the field', async () => {
    expect((await write('{"title":"a\\u0000b"}')).fields).toEqual({
      'body.title': 'must not contain the NUL character',
    })
    expect((await write('{"title":"\\ud800"}')).fields).toHaveProperty('body.title')
    expect((await write('{"title":"x","amountMinor":9007199254740993}')).fields).toEqual({
      'body.amountMinor': 'is too large a number',
    })
    expect((await write('{"title":"x","amountMinor":1e999}')).fields).toHaveProperty(
      'body.amountMinor',
    )
    expect((await write('{"title":"x","lines":[{"kind":"a\\u0000"}]}')).fields).toHaveProperty(
      'body.lines[0].kind',
    )
  })

  test('cannot reach for prototypes', async () => {
    for (const body of [
      '{"title":"x","__proto__":{"admin":true}}',
      '{"title":"x","lines":[{"__proto__":1}]}',
      '{"title":"x","constructor":{"prototype":{}}}',
    ]) {
      const { status, problem } = await write(body)
      expect(status).toBe(400)
      expect(problem.errors).toHaveLength(1)
    }
    expect(({} as { admin?: unknown }).admin).toBeUndefined()
  })

  test('nested beyond reason is refused', async () => {
    for (const depth of [40, 10_000]) {
      const body = `{"title":"x","lines":${'['.repeat(depth)}${']'.repeat(depth)}}`
      const { status, problem } = await write(body)
      expect(status).toBe(400)
      expect(problem.detail).toContain('nested deeper than 32 levels')
    }
  })

  test('with a long or odd unknown name gets it back short and printable', async () => {
    const { status, problem } = await write({ title: 'x', [`\u001b[31m${'n'.repeat(5_000)}`]: 1 })
    expect(status).toBe(400)
    const name = problem.errors?.[0]?.field ?? ''
    expect(name.length).toBeLessThan(80)
    expect(name).not.toContain('\u001b')
  })

  test('with a hundred faults has twenty told', async () => {
    const faults = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`extra${i}`, 1]))
    expect((await write({ title: 'x', ...faults })).problem.errors).toHaveLength(20)
  })
})

describe('a value that is refused', () => {
  test('is never repeated in the answer or the log', async () => {
    const secret = 'Hunter2-SECRET'
    const bodies = [
      JSON.stringify({ title: 'x', password: secret }),
      JSON.stringify({ title: { deep: secret } }),
      `{"title":"x","password":"${secret}\\u0000"}`,
      `{"title":"x","password":"${secret}" oops`,
      `{"password":"${secret}`,
      `{"password":${secret}}`,
    ]
    for (const body of bodies) {
      const answer = await write(body)
      expect(answer.status).toBe(400)
      expect(answer.text).not.toContain('SECRET')
    }
    expect(JSON.stringify(service.lines)).not.toContain('SECRET')
  })
})

describe('a query', () => {
  async function list(query: string) {
    const answer = await ask(`${service.url}/notes?${query}`)
    return { ...answer, fields: fieldsOf(answer.problem) }
  }

  test('has its texts read as numbers, booleans and lists, and its defaults filled in', async () => {
    const { text } = await list('open=true&tag=a&kind=short')
    expect(JSON.parse(text)).toMatchObject({
      received: { open: true, tag: ['a'], kind: 'short', limit: 20 },
    })
    expect(JSON.parse((await list('limit=7&tag=a&tag=b')).text)).toMatchObject({
      received: { limit: 7, tag: ['a', 'b'] },
    })
  })

  test.each([
    'ten',
    '1.5',
    '',
    ' 1',
    '1e1',
    '0x10',
    '0',
    '101',
    '-1',
    'NaN',
    '99999999999999999999999',
    'null',
  ])('with limit=%s is refused', async (limit) => {
    const { status, fields } = await list(`limit=${encodeURIComponent(limit)}`)
    expect(status).toBe(400)
    expect(Object.keys(fields)).toEqual(['query.limit'])
  })

  test('with a field given twice is refused', async () => {
    expect((await list('limit=1&limit=2')).fields).toEqual({
      'query.limit': 'is given more than once; give it once',
    })
  })

  test('with unknown fields is refused, also where no query is expected', async () => {
    expect((await list('limit=1&order=asc')).fields).toHaveProperty('query.order')
    expect((await list('__proto__=1')).fields).toHaveProperty('query.__proto__')
    expect((await list('limit[$gt]=1')).fields).toHaveProperty('query.limit[$gt]')
    const answer = await ask(`${service.url}/notes/${noteId}?x=1`)
    expect(fieldsOf(answer.problem)).toEqual({
      'query.x': 'is not known here (nothing is expected here)',
    })
  })

  test('with NUL or impossible dates is refused', async () => {
    expect((await list('tag=a%00')).fields).toEqual({
      'query.tag': 'must not contain the NUL character',
    })
    for (const since of ['2026-02-30', 'yesterday', '2026-2-3', '2026-01-01T00:00:00Z']) {
      expect((await list(`since=${since}`)).fields).toEqual({
        'query.since': 'must be a date such as 2026-03-31',
      })
    }
  })
})

describe('a path parameter', () => {
  test.each([
    '1',
    "evt_' OR 1=1--",
    'bil_0190a5a0-0000-7000-8000-000000000000',
    '%00',
    '%F0%9F%92%A9',
    '..%2f..%2fmetrics',
    'x'.repeat(900),
  ])('of the form %s is refused by name', async (id) => {
    const { status, problem } = await ask(
      `${service.url}/notes/${id.startsWith('%') || id.includes('%2f') ? id : encodeURIComponent(id)}`,
    )
    expect(status).toBe(400)
    expect(problem.errors?.[0]).toMatchObject({ in: 'params', field: 'noteId' })
  })
})

describe('a contract', () => {
  const open = (schema: object) =>
    defineRoute({
      name: 'open',
      method: 'POST',
      path: '/open',
      summary: 'x',
      auth: 'public',
      body: Type.Object({ inner: Type.Optional(schema) }, { additionalProperties: false }),
      replies: { 200: Type.Null() },
    })

  test('that leaves an object of its input open stops the service from starting', async () => {
    const app = await createService({
      name: 'x',
      version: '1',
      config: testConfig({ WATTLE_LOG_LEVEL: 'silent' }),
    })
    const contract = open(Type.Object({ a: Type.String() }))
    expect(() => addRoute(app, contract, () => null)).toThrow(
      'open: body.inner must say additionalProperties',
    )
    await app.close()
  })

  test('that is not public needs an authenticate', async () => {
    const app = await createService({
      name: 'x',
      version: '1',
      config: testConfig({ WATTLE_LOG_LEVEL: 'silent' }),
    })
    const contract = defineRoute({
      name: 'mine',
      method: 'GET',
      path: '/',
      summary: 'x',
      auth: 'user',
      replies: { 200: Type.Null() },
    })
    expect(() => addRoute(app, contract, () => null)).toThrow('give createService an authenticate')
    await app.close()
  })
})

test('an AppError of a handler reaches the caller with its code and fields, without its cause', async () => {
  await using failing = await startApp((app) => {
    app.get('/taken', () => {
      throw new AppError('EMAIL_TAKEN', 'This address is in use.', {
        cause: new Error('duplicate key "users_email_key"'),
        fields: [{ in: 'body', field: 'email', problem: 'is in use' }],
      })
    })
  })
  const { status, problem, text } = await ask(`${failing.url}/taken`)
  expect(status).toBe(409)
  expect(problem).toMatchObject({
    code: 'EMAIL_TAKEN',
    detail: 'This address is in use.',
    status: 409,
  })
  expect(problem.errors).toEqual([{ in: 'body', field: 'email', problem: 'is in use' }])
  expect(text).not.toContain('duplicate')
})

describe('a route that takes no body', () => {
  const touch = defineRoute({
    name: 'touch',
    method: 'POST',
    path: '/touch',
    summary: 'Takes nothing',
    auth: 'public',
    replies: { 200: Type.Object({ touched: Type.Boolean() }) },
  })

  test('takes none or an empty object, and names any field that is sent all the same', async () => {
    const own = await startApp((app) => addRoute(app, touch, () => ({ touched: true })))
    try {
      expect((await fetch(`${own.url}/touch`, { method: 'POST' })).status).toBe(200)
      expect((await postJson(`${own.url}/touch`, '{}')).status).toBe(200)
      const refused = await postJson(`${own.url}/touch`, '{"amountMinor":5}')
      expect(refused.status).toBe(400)
      expect(Object.keys(fieldsOf(refused.problem))).toEqual(['body.amountMinor'])
      for (const body of ['[1]', '"x"', '5']) {
        expect((await postJson(`${own.url}/touch`, body)).status).toBe(400)
      }
    } finally {
      await own.app.close()
    }
  })
})
