import { get } from 'node:http'
import { loopback } from './ports.ts'

const answerWithinMs = 1_500

/** Whether the service on this port says that it is ready. Never rejects. */
export async function isReady(port: number, signal?: AbortSignal): Promise<boolean> {
  return (await readyAnswer(port, signal))?.status === 200
}

/** What `/readyz` answers; undefined when nobody does. */
export function readyAnswer(
  port: number,
  signal?: AbortSignal,
): Promise<{ status: number; body: string } | undefined> {
  return new Promise((resolve) => {
    const request = get(
      {
        host: loopback,
        port,
        path: '/readyz',
        agent: false,
        timeout: answerWithinMs,
        ...(signal ? { signal } : {}),
      },
      (response) => {
        let body = ''
        response.setEncoding('utf8').on('data', (text: string) => (body += text))
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
        response.on('error', () => resolve(undefined))
      },
    )
    request.on('timeout', () => request.destroy())
    request.on('error', () => resolve(undefined))
  })
}
