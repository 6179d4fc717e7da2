import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { addNoteRoutes, ask, postJson, startApp, type TestApp } from './support.ts'

let service: TestApp
beforeAll(async () => {
  service = await startApp(addNoteRoutes)
})
afterAll(() => service.app.close())

const fieldNames = [
  'title',
  'email',
  'password',
  'amountMinor',
  'phone',
  'lines',
  '__proto__',
  'constructor',
  'toString',
  '',
]
const anyBody = fc.oneof(
  fc.json({ maxDepth: 4 }),
  fc
    .dictionary(fc.oneof(fc.constantFrom(...fieldNames), fc.string()), fc.jsonValue())
    .map((fields) => JSON.stringify(fields)),
  fc.string({ unit: 'binary' }),
)

// fast-check prints the seed and the smallest failing input.
describe('whatever comes in is answered 2xx or with a 4xx problem document', () => {
  test('as a body', async () => {
    await fc.assert(
      fc.asyncProperty(anyBody, async (body) => {
        const { status, problem } = await postJson(`${service.url}/notes`, body)
        const isRefusal =
          status === 400 && (problem.errors ?? []).length > 0 && problem.detail.length > 10
        expect(status === 201 || isRefusal).toBe(true)
      }),
      { numRuns: 300 },
    )
  })

  test('as bytes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1 }), async (bytes) => {
        expect((await postJson(`${service.url}/notes`, new Uint8Array(bytes))).status).toBe(400)
      }),
      { numRuns: 100 },
    )
  })

  test('as a query or a path', async () => {
    const pair = fc.tuple(
      fc.oneof(fc.constantFrom('limit', 'open', 'kind', 'since', 'tag', '__proto__'), fc.string()),
      fc.string({ unit: 'binary' }),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(pair), fc.webPath(), async (pairs, path) => {
        const query = new URLSearchParams(pairs).toString()
        expect([200, 400]).toContain((await ask(`${service.url}/notes?${query}`)).status)
        expect((await ask(`${service.url}/notes${path}`)).status).toBeLessThan(500)
      }),
      { numRuns: 200 },
    )
  })
})
