import { get } from 'node:http'
import { loopback } from './ports.ts'

const answerWithinMs = 1_500

export type Answer = { status: number; body: string }

/** What the service on this port answers; undefined when nobody does in time. Never rejects. */
export function ask(
  port: number,
  path: '/livez' | '/readyz',
  signal?: AbortSignal,
): Promise<Answer | undefined> {
  return new Promise((resolve) => {
    const options = { host: loopback, port, path, agent: false, timeout: answerWithinMs }
    const request = get({ ...options, ...(signal ? { signal } : {}) }, (response) => {
      let body = ''
      response.setEncoding('utf8').on('data', (text: string) => (body += text))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
      response.on('error', () => resolve(undefined))
    })
    request.on('timeout', () => request.destroy())
    request.on('error', () => resolve(undefined))
  })
}
