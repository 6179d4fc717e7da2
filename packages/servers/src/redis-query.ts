import { Redis } from 'ioredis'

export interface RedisAddress {
  host: string
  port: number
}

export interface RedisLogin {
  username: string
  password: string
}

/** Sends one command over a connection of its own. Throws when there is no reply in time. */
export async function redisQuery(
  address: RedisAddress,
  login: RedisLogin,
  command: string,
  args: (string | number)[] = [],
  timeoutMs = 500,
): Promise<unknown> {
  const client = new Redis({
    ...address,
    ...login,
    protocol: 2,
    lazyConnect: true,
    enableReadyCheck: false,
    disableClientInfo: true,
    connectTimeout: timeoutMs,
    commandTimeout: timeoutMs,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
  })
  // The command reports the same error.
  client.on('error', () => undefined)
  try {
    await client.connect()
    return await client.call(command, ...args)
  } finally {
    client.disconnect()
  }
}

/** The fields of one section of INFO. */
export async function redisInfo(
  address: RedisAddress,
  login: RedisLogin,
  section: string,
): Promise<Record<string, string>> {
  const text = String(await redisQuery(address, login, 'INFO', [section]))
  const lines = text.split('\r\n').filter((line) => line.includes(':'))
  return Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]),
  )
}

/** A reply of alternating names and values, as Sentinels give. */
export function fieldsOf(reply: unknown): Record<string, string> {
  const list = Array.isArray(reply) ? reply.map(String) : []
  const fields: Record<string, string> = {}
  for (let index = 0; index + 1 < list.length; index += 2) {
    fields[list[index] ?? ''] = list[index + 1] ?? ''
  }
  return fields
}
