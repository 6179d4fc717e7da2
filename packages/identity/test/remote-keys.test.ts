import { AppError } from '@wattle/contracts'
import Fastify from 'fastify'
import type { ServerResponse } from 'node:http'
import { afterEach, describe, expect, test } from 'vitest'
import {
  accessTokenKind,
  createSigner,
  publishJwks,
  remoteKeys,
  type Jwks,
  type RemoteKeysOptions,
} from '../src/index.ts'
import { accessTokensOf, someKeys, startMs, startPublisher, userId, holder } from './forge.ts'

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup()
})

async function world(options: Partial<RemoteKeysOptions> = {}) {
  const keys = someKeys()
  const published: { jwks: Jwks } = { jwks: keys.jwks }
  const good: Parameters<typeof startPublisher>[0] = (_request, response) => {
    response.end(JSON.stringify(published.jwks))
  }
  const publisher = await startPublisher(good)
  cleanups.push(() => publisher.stop())
  const clock = { nowMs: startMs }
  const now = () => clock.nowMs
  const source = remoteKeys({ url: publisher.url, now, ...options })
  cleanups.push(() => source.close())
  const verifier = await accessTokensOf({ keys: source, now })
  const issue = (signing = keys) =>
    createSigner({ keys: signing, kind: accessTokenKind, now })({ ...holder, roles: [] }, 'wattle')
      .token
  return { keys, published, publisher, good, clock, source, verifier, issue }
}

const fails = (code: string) => (error: unknown) => error instanceof AppError && error.code === code

describe('T1 keys from a JWKS address', () => {
  test('are fetched once for many callers at once', async () => {
    const { verifier, issue, publisher } = await world()
    await Promise.all(Array.from({ length: 20 }, () => verifier.verify(issue())))
    expect(publisher.requests).toBe(1)
  })

  test('are taken as a Fastify app publishes them', async () => {
    const keys = someKeys()
    const app = Fastify()
    publishJwks(app, keys.jwks)
    cleanups.push(() => app.close())
    const address = await app.listen({ port: 0, host: '127.0.0.1' })
    const source = remoteKeys({ url: `${address}/.well-known/jwks.json` })
    cleanups.push(() => source.close())
    const { token } = (await accessTokensOf({ signingKeys: keys })).issue({ ...holder, roles: [] })
    const gateway = await accessTokensOf({ keys: source })
    expect(await gateway.verify(token)).toMatchObject({ userId })
    const reply = await app.inject('/.well-known/jwks.json')
    expect(reply.headers['content-type']).toMatch('application/jwk-set+json')
  })

  test('rotate with overlap: tokens of the old and the new key are both good', async () => {
    const { verifier, issue, keys, published, clock } = await world()
    await verifier.verify(issue())
    const next = someKeys()
    published.jwks = { keys: [...next.jwks.keys, ...keys.jwks.keys] }
    clock.nowMs += 3_000
    expect(await verifier.verify(issue(next))).toMatchObject({ userId })
    expect(await verifier.verify(issue(keys))).toMatchObject({ userId })
  })

  test('an unknown key id leads to one fetch in some seconds, however many tokens name one', async () => {
    const { verifier, issue, publisher, clock } = await world()
    await verifier.verify(issue())
    clock.nowMs += 3_000
    for (let n = 0; n < 20; n++) {
      await expect(verifier.verify(issue(someKeys()))).rejects.toSatisfy(fails('UNAUTHENTICATED'))
    }
    expect(publisher.requests).toBe(2)
    clock.nowMs += 3_000
    await expect(verifier.verify(issue(someKeys()))).rejects.toSatisfy(fails('UNAUTHENTICATED'))
    expect(publisher.requests).toBe(3)
  })

  test('a withdrawn key is no longer trusted after the next refresh, not even for a cached token', async () => {
    const { verifier, issue, published, publisher, clock } = await world({ refreshMs: 10_000 })
    const token = issue()
    await verifier.verify(token)
    published.jwks = someKeys().jwks
    clock.nowMs += 10_000
    await verifier.verify(token)
    await expect
      .poll(() => verifier.verify(token).then(() => 'taken', fails('UNAUTHENTICATED')), {
        timeout: 5_000,
      })
      .toBe(true)
    expect(publisher.requests).toBeLessThanOrEqual(3)
  })

  test('stay as they are when the publisher is gone, and unknown ones cannot be told', async () => {
    const { verifier, issue, publisher, clock } = await world({ refreshMs: 10_000 })
    await verifier.verify(issue())
    await publisher.stop()
    clock.nowMs += 60_000
    await verifier.verify(issue())
    await expect(verifier.verify(issue(someKeys()))).rejects.toSatisfy(fails('UNAVAILABLE'))
  })

  test('that were never had give 503, and are there soon after the publisher is', async () => {
    const { verifier, issue, publisher, good, clock } = await world()
    publisher.answer = (_request, response) => response.writeHead(503).end()
    await expect(verifier.verify(issue())).rejects.toSatisfy(fails('UNAVAILABLE'))
    publisher.answer = good
    clock.nowMs += 250
    expect(await verifier.verify(issue())).toMatchObject({ userId })
  })

  test.each<[string, Parameters<typeof startPublisher>[0]]>([
    ['an error', (_, response) => response.writeHead(500).end('{}')],
    ['no JSON', (_, response) => response.end('<html>')],
    ['no key set', (_, response) => response.end('{"keys":"none"}')],
    ['an empty key set', (_, response) => response.end('{"keys":[]}')],
    ['half a reply', (_, response) => response.writeHead(200, { 'content-length': 99 }).end('{')],
    ['a reset', (request) => request.socket.destroy()],
    ['a redirect', (_, response) => response.writeHead(302, { location: '/other' }).end()],
    ['endless bytes', (_, response) => endless(response)],
    ['nothing, for ever', () => undefined],
    ['one byte at a time', (_, response) => drip(response)],
  ])('stay as they are when the publisher gives %s', async (_name, answer) => {
    const { verifier, issue, publisher, clock } = await world({ timeoutMs: 400 })
    await verifier.verify(issue())
    publisher.answer = answer
    clock.nowMs += 5_000
    const startedMs = performance.now()
    await expect(verifier.verify(issue(someKeys()))).rejects.toSatisfy(fails('UNAVAILABLE'))
    expect(performance.now() - startedMs).toBeLessThan(4_000)
    expect(await verifier.verify(issue())).toMatchObject({ userId })
  })
})

function endless(response: ServerResponse): void {
  const chunk = ' '.repeat(64 * 1024)
  const more = () => {
    while (!response.destroyed && response.write(chunk));
  }
  response.on('drain', more)
  more()
}

function drip(response: ServerResponse): void {
  const timer = setInterval(() => response.write(' '), 20)
  response.on('close', () => clearInterval(timer))
}
