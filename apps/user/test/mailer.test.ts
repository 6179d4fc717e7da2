import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { baseConfig, createService, loadConfig } from '@wattle/service'
import { Type } from 'typebox'
import { describe, expect, onTestFinished, test } from 'vitest'
import { addInboxPage, localInbox } from '../src/mail/inbox.ts'
import { httpMailer } from '../src/mail/mailer.ts'

const mail = { to: 'ada@example.com', subject: 'Hello', text: 'A code' }

async function endpoint(answer: (request: IncomingMessage, response: ServerResponse) => void) {
  const seen: { headers: IncomingMessage['headers']; body: string }[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => (body += chunk.toString()))
    request.on('end', () => {
      seen.push({ headers: request.headers, body })
      answer(request, response)
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { seen, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/send` }
}

describe('T7 a mail', () => {
  test('is posted as JSON with the bearer token', async () => {
    const { seen, url } = await endpoint((_, response) => response.writeHead(202).end())
    const mailer = httpMailer({ url, token: 'key' })
    onTestFinished(() => mailer.close())
    await mailer.send(mail)
    expect(seen).toMatchObject([
      { headers: { authorization: 'Bearer key', 'content-type': 'application/json' } },
    ])
    expect(JSON.parse(seen[0]?.body ?? '')).toEqual(mail)
  })

  test.each<[string, Parameters<typeof endpoint>[0]]>([
    ['an error', (_, response) => response.writeHead(500).end()],
    ['a redirect', (_, response) => response.writeHead(302, { location: '/other' }).end()],
    ['a reset', (request) => request.socket.destroy()],
    ['nothing, for ever', () => undefined],
  ])('that is answered with %s counts as not sent, in bounded time', async (_name, answer) => {
    const { url } = await endpoint(answer)
    const mailer = httpMailer({ url, timeoutMs: 300 })
    onTestFinished(() => mailer.close())
    await expect(mailer.send(mail)).rejects.toThrow()
  })
})

describe('the local inbox', () => {
  test('keeps the last hundred', async () => {
    const inbox = localInbox()
    for (let n = 0; n < 150; n++) await inbox.send({ ...mail, subject: `${n}` })
    expect(inbox.mails).toHaveLength(100)
    expect(inbox.mails[0]?.subject).toBe('149')
  })

  test.each(['staging', 'production'])(
    'has no page in %s, not even by mistake',
    async (WATTLE_ENV) => {
      const config = loadConfig(Type.Object({ ...baseConfig }), {
        WATTLE_ENV,
        WATTLE_SERVICE_PORT: '0',
        WATTLE_LOG_LEVEL: 'error',
      })
      const app = await createService({ name: 'user', version: '0', config })
      onTestFinished(() => app.close())
      expect(() => addInboxPage(app, localInbox())).toThrow(/never outside development/)
      expect((await app.inject('/inbox')).statusCode).toBe(404)
    },
  )
})
