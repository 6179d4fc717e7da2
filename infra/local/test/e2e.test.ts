import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ok, post, signUp } from './person.ts'
import { startStack, type TestStack } from './stack.ts'

type Problem = { code: string; status: number; detail: string; errors?: { field: string }[] }
type Bills = {
  items: { id: string; state: string; totalMinor: number }[]
  nextCursor: string | null
}

let stack: TestStack
let api: string
beforeAll(async () => {
  stack = await startStack()
  api = `${stack.url}/api`
}, 120_000)
afterAll(() => stack.stop(), 60_000)

const password = 'correct horse battery'
async function enter(email: string, name = 'Ada Obi') {
  const accessToken = await signUp(api, { email, password, name })
  const call = (
    path: string,
    init: { method?: string; body?: string; headers?: Record<string, string> } = {},
  ) =>
    fetch(`${api}${path}`, {
      ...init,
      headers: { authorization: `Bearer ${accessToken}`, ...init.headers },
    })
  const patch = (path: string, body: object) =>
    call(path, {
      method: 'PATCH',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  return { token: accessToken, call, patch }
}

describe('a person, through the gateway', () => {
  test('signs up, links a meter, and sees the bills; the second read is a hit', async () => {
    const { token, call } = await enter('ada@e2e.example')
    const empty = await ok<Bills>(await call('/bills'))
    expect(empty.items).toEqual([])

    const providers = await ok<{ items: { id: string; utility: string }[] }>(
      await fetch(`${api}/providers?utility=electricity`),
    )
    expect(new Set(providers.items.map((one) => one.utility))).toEqual(new Set(['electricity']))
    const account = { providerId: providers.items[0]?.id, customerNumber: '04512345678' }
    await ok(await post(`${api}/bills/accounts`, account, token))

    const first = await call('/bills')
    const { items } = await ok<Bills>(first)
    expect(items.length).toBeGreaterThan(0)
    const second = await call('/bills')
    expect(second.headers.get('x-cache-status')).toBe('HIT')
    expect(second.headers.get('cache-status')).toMatch(/^wattle-billing; hit/)
    expect((await ok<Bills>(second)).items).toEqual(items)

    const bill = await ok<{ lines: { amountMinor: number }[]; totalMinor: number }>(
      await call(`/bills/${items[0]?.id}`),
    )
    expect(bill.lines.reduce((sum, line) => sum + line.amountMinor, 0)).toBe(bill.totalMinor)
  })

  test('pages through all bills with the cursor, each exactly once', async () => {
    const { token, call } = await enter('pages@e2e.example')
    const providers = await ok<{ items: { id: string }[] }>(await fetch(`${api}/providers`))
    for (const [index, provider] of providers.items.slice(0, 3).entries()) {
      const account = { providerId: provider.id, customerNumber: `9990000${index}` }
      await ok(await post(`${api}/bills/accounts`, account, token))
    }
    const all = (await ok<Bills>(await call('/bills?limit=100'))).items.map((bill) => bill.id)
    const seen: string[] = []
    for (let cursor: string | null = ''; cursor !== null;) {
      const page: Bills = await ok<Bills>(
        await call(`/bills?limit=4${cursor && `&cursor=${cursor}`}`),
      )
      seen.push(...page.items.map((bill) => bill.id))
      cursor = page.nextCursor
    }
    expect(seen).toEqual(all)
    expect(new Set(seen).size).toBe(seen.length)
  })

  test('sees a change of the profile and of the preferences at once', async () => {
    const { call, patch } = await enter('bola@e2e.example')
    await ok(await call('/me'))
    await ok(await call('/me/preferences'))
    await ok(await patch('/me', { name: 'Bola N. Eze' }))
    await ok(await patch('/me/preferences', { language: 'yo' }))
    expect(await ok(await call('/me'))).toMatchObject({ name: 'Bola N. Eze' })
    expect(await ok(await call('/me/preferences'))).toMatchObject({ language: 'yo' })
  })

  test('signs in with a demo login that was printed, and finds six months of bills', async () => {
    const [email, secret] = stack.demoLogin
    const { accessToken } = await ok<{ accessToken: string }>(
      await post(`${api}/auth/login`, { email, password: secret }),
    )
    const bills = await ok<Bills>(
      await fetch(`${api}/bills?limit=100`, {
        headers: { authorization: `Bearer ${accessToken}` },
      }),
    )
    expect(bills.items.length).toBeGreaterThanOrEqual(6)
    expect(bills.items.map((bill) => bill.state)).not.toContain('draft')
  })
})

describe('bad input', () => {
  const bodies: [what: string, path: string, body: string, field: string][] = [
    ['a missing field', '/auth/register', `{"email":"x@e2e.example","name":"X"}`, 'password'],
    ['an unknown field', '/auth/login', `{"email":"x@e2e.example","password":"p","x":1}`, 'x'],
    ['a wrong type', '/auth/login', `{"email":["x"],"password":"p"}`, 'email'],
    [
      'a NUL character',
      '/auth/login',
      String.raw`{"email":"x@e2e.example","password":"\u0000"}`,
      'password',
    ],
    [
      'a prototype',
      '/auth/login',
      `{"__proto__":{},"email":"x@e2e.example","password":"p"}`,
      '__proto__',
    ],
  ]
  test.each(bodies)(
    '%s is refused with the name of the field',
    async (_what, path, body, field) => {
      const reply = await fetch(`${api}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
      })
      const problem = await expectProblem(reply, 400)
      expect(`${problem.detail} ${JSON.stringify(problem.errors)}`).toContain(field)
    },
  )

  test.each([
    ['an unknown query field', '/bills?colour=red', 'colour'],
    ['a value out of range', '/bills?limit=1000', 'limit'],
    ['a value twice', '/bills?limit=1&limit=2', 'limit'],
    ['a cursor that was tampered with', '/bills?cursor=AAAA', 'cursor'],
    ['SQL', `/bills?state=${encodeURIComponent(`open' or 1=1--`)}`, 'state'],
    ['an id of another kind', '/bills/usr_0190aaaa-aaaa-7aaa-8aaa-aaaaaaaaaaaa', 'billId'],
  ])('%s is refused with its name', async (_what, path, field) => {
    const { call } = await enter(`q${Math.random()}@e2e.example`)
    const problem = await expectProblem(await call(path), 400)
    expect(`${problem.detail} ${JSON.stringify(problem.errors)}`).toContain(field)
  })

  test.each([
    ['malformed JSON', 'application/json', '{"email":', 400],
    ['another content type', 'text/xml', '<a/>', 415],
    ['a huge body', 'application/json', JSON.stringify({ email: 'x'.repeat(300_000) }), 413],
    ['an empty body', 'application/json', '', 400],
  ])('%s is answered with a problem document', async (_what, type, body, status) => {
    const reply = await fetch(`${api}/auth/login`, {
      method: 'POST',
      headers: { 'content-type': type },
      body,
    })
    await expectProblem(reply, status)
  })

  test("another person's bill is not there", async () => {
    const owner = await enter('owner@e2e.example')
    const provider = (await ok<{ items: { id: string }[] }>(await fetch(`${api}/providers`)))
      .items[0]
    const account = { providerId: provider?.id, customerNumber: '55512345678' }
    await ok(await post(`${api}/bills/accounts`, account, owner.token))
    const bill = (await ok<Bills>(await owner.call('/bills'))).items[0]
    const other = await enter('other@e2e.example')
    await expectProblem(await other.call(`/bills/${bill?.id}`), 404)
  })

  test('without a token, or with a forged one, nothing is told', async () => {
    await expectProblem(await fetch(`${api}/bills`), 401)
    const forged = { authorization: `Bearer ${'a.'.repeat(2)}b` }
    await expectProblem(await fetch(`${api}/bills`, { headers: forged }), 401)
  })

  test('what is not a published route does not exist', async () => {
    for (const path of ['/metrics', '/livez', '/bills%2f..%2f..%2fmetrics', '/nothing']) {
      await expectProblem(await fetch(`${api}${path}`), 404)
    }
    await expectProblem(await fetch(`${api}/bills`, { method: 'DELETE' }), 405)
  })

  test('a header with a line break cannot be smuggled, and headers past the limit are refused', async () => {
    const { port } = new URL(api)
    const long = `GET /api/bills HTTP/1.1\r\nHost: a\r\nX-Long: ${'a'.repeat(100_000)}\r\n\r\n`
    expect(await raw(Number(port), long)).toMatch(/^HTTP\/1\.1 431 [\s\S]*HEADERS_TOO_LARGE/)
    const bare = 'GET /api/bills HTTP/1.1\r\nHost: a\r\nX-A: b\nc\r\n\r\n'
    expect(await raw(Number(port), bare)).toMatch(/^HTTP\/1\.1 4\d\d /)
  })
})

describe('what a developer looks at', () => {
  test('the merged OpenAPI document names the routes of every service, and the docs page is there', async () => {
    const document = await ok<{ paths: Record<string, unknown> }>(
      await fetch(`${stack.url}/openapi.json`),
    )
    expect(Object.keys(document.paths)).toEqual(
      expect.arrayContaining(['/api/auth/login', '/api/me', '/api/bills', '/api/bills/{billId}']),
    )
    const page = await fetch(`${stack.url}/docs/`)
    expect(page.status).toBe(200)
    expect(await page.text()).toContain('<html')
  })

  test('every service tells of its health and its measurements', async () => {
    for (const url of Object.values(stack.services)) {
      for (const path of ['/livez', '/readyz', '/metrics', '/openapi.json']) {
        expect((await fetch(`${url}${path}`)).status, `${url}${path}`).toBe(200)
      }
    }
  })
})

async function expectProblem(reply: Response, status: number): Promise<Problem> {
  const text = await reply.text()
  expect(reply.status, text).toBe(status)
  expect(reply.headers.get('content-type')).toContain('application/problem+json')
  expect(text).not.toMatch(/\bat .*\.ts:\d+|node_modules/)
  const problem = JSON.parse(text) as Problem
  expect(problem).toMatchObject({ status, code: expect.any(String), requestId: expect.any(String) })
  return problem
}

/** Sends bytes as they are, and returns what comes back until the server closes. */
function raw(port: number, bytes: string): Promise<string> {
  return new Promise((done, fail) => {
    let answer = ''
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes))
    socket.setTimeout(5_000, () => socket.destroy(new Error(`no answer: ${answer}`)))
    socket.on('data', (chunk) => (answer += chunk))
    socket.on('close', () => done(answer))
    socket.on('error', (cause) => (answer === '' ? fail(cause) : undefined))
  })
}
