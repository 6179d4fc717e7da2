import type { FastifyInstance } from 'fastify'
import type { Mail, Mailer } from './mailer.ts'

const kept = 100

/** A mailer for one machine: it keeps the last 100 mails in memory, newest first, for `/inbox` to show. */
export function localInbox({ now = Date.now }: { now?: () => number } = {}) {
  const mails: (Mail & { readonly at: Date })[] = []
  return {
    mails: mails as readonly (Mail & { readonly at: Date })[],
    send(mail) {
      mails.unshift({ ...mail, at: new Date(now()) })
      mails.length = Math.min(mails.length, kept)
      return Promise.resolve()
    },
    close: () => Promise.resolve(),
  } satisfies Mailer & { mails: unknown }
}

export type LocalInbox = ReturnType<typeof localInbox>

/** The page `/inbox`. Whoever sees it can take over accounts, so it exists in development and test only. */
export function addInboxPage(app: FastifyInstance, inbox: Pick<LocalInbox, 'mails'>): void {
  const { WATTLE_ENV } = app.service.config
  if (WATTLE_ENV !== 'development' && WATTLE_ENV !== 'test') {
    throw new Error('the local inbox shows codes that open accounts: never outside development')
  }
  // Not among the routes that @fastify/swagger describes.
  const schema: object = { hide: true }
  app.get('/inbox', { schema }, (_request, reply) =>
    reply
      .header('content-security-policy', "default-src 'none'; style-src 'unsafe-inline'")
      .type('text/html; charset=utf-8')
      .send(page(inbox.mails)),
  )
}

function page(mails: LocalInbox['mails']): string {
  const items = mails.map(
    ({ at, to, subject, text }) => `<article><h2>${escape(subject)}</h2>
<p>to ${escape(to)}, ${at.toISOString()}</p><pre>${escape(text)}</pre></article>`,
  )
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>Inbox of this machine</title>
<style>body{font:16px/1.5 system-ui;max-width:44rem;margin:2rem auto;padding:0 1rem}
article{border-top:1px solid #ccc}pre{white-space:pre-wrap;background:#f4f4f4;padding:1rem}</style>
<h1>Inbox of this machine</h1><p>Every mail that Wattle sent since it was started. Development only.</p>
${items.join('\n') || '<p>Nothing yet.</p>'}</html>`
}

function escape(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
