import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { eventually } from '@wattle/testkit'
import type { Place } from './stack.ts'

/** Sends one command to a Redis or Sentinel of the stack as admin; the reply as Redis wrote it. */
export function ask(place: Place, port: number, ...command: string[]): Promise<string> {
  const passwords = JSON.parse(
    readFileSync(join(place.home, 'secrets', 'passwords.json'), 'utf8'),
  ) as Record<string, string>
  const admin = passwords['redis.admin'] ?? ''
  const login = encode(['AUTH', 'admin', admin])
  return new Promise((resolve, reject) => {
    let reply = ''
    const socket = connect(port, '127.0.0.1', () => {
      socket.write(login + encode(command) + encode(['PING']))
    })
    socket.setTimeout(3_000, () => socket.destroy(new Error(`port ${port} does not answer`)))
    socket.setEncoding('utf8').on('data', (text: string) => {
      reply += text
      if (!reply.endsWith(pong)) return
      resolve(reply.slice(ok.length, -pong.length))
      socket.destroy()
    })
    socket.on('error', reject)
  })
}

const ok = '+OK\r\n'
const pong = '+PONG\r\n'

function encode(words: string[]): string {
  const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`)
  return `*${words.length}\r\n${parts.join('')}`
}

/** The port of the master that the Sentinels name. */
export async function masterPort(place: Place, group: 'cache' | 'state'): Promise<number> {
  const [sentinel = 0] = place.ports.sentinels
  const reply = await ask(place, sentinel, 'SENTINEL', 'GET-MASTER-ADDR-BY-NAME', group)
  return Number(reply.trim().split('\r\n').at(-1))
}

/** `master` or `slave`, as the server itself sees it. */
export async function roleOf(place: Place, port: number): Promise<string> {
  return /role:(\w+)/.exec(await ask(place, port, 'INFO', 'replication'))?.[1] ?? ''
}

export async function pidOf(place: Place, port: number): Promise<number> {
  return Number(/process_id:(\d+)/.exec(await ask(place, port, 'INFO', 'server'))?.[1])
}

/** Makes the Sentinels choose another master, as an operator would; resolves with its port. */
export async function failOver(place: Place, group: 'cache' | 'state'): Promise<number> {
  const before = await masterPort(place, group)
  const [sentinel = 0] = place.ports.sentinels
  await eventually(
    async () => {
      const reply = await ask(place, sentinel, 'SENTINEL', 'FAILOVER', group)
      if (!reply.startsWith('+OK')) throw new Error(reply)
    },
    { withinMs: 15_000, everyMs: 500 },
  )
  return eventually(
    async () => {
      const now = await masterPort(place, group)
      if (now === before) throw new Error(`${group} still has its master on port ${now}`)
      return now
    },
    { withinMs: 15_000, everyMs: 100 },
  )
}
