import { Agent, request } from 'undici'

export type Mail = { readonly to: string; readonly subject: string; readonly text: string }

/** Delivers a mail, or rejects. What the person should do then stands in the reply: ask again. */
export type Mailer = { send(mail: Mail): Promise<void>; close(): Promise<void> }

/**
 * Hands mails to an HTTP endpoint: `POST { to, subject, text }`, with a bearer token where one is given. Any mail
 * provider has such an endpoint, or needs a few lines before it. Anything but 2xx within `timeoutMs` is a failure.
 */
export function httpMailer(options: { url: string; token?: string; timeoutMs?: number }): Mailer {
  const { url, token, timeoutMs = 5_000 } = options
  const agent = new Agent({ connections: 4, maxResponseSize: 64 * 1024 })
  return {
    async send(mail) {
      const { statusCode, body } = await request(url, {
        dispatcher: agent,
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        },
        body: JSON.stringify(mail),
        signal: AbortSignal.timeout(timeoutMs),
      })
      await body.dump()
      if (statusCode < 200 || statusCode > 299) throw new Error(`the mailer answered ${statusCode}`)
    },
    close: () => agent.destroy(),
  }
}
