import { setTimeout as wait } from 'node:timers/promises'

/** One request of a client, as it ended. */
export type Observation = {
  readonly atMs: number
  readonly tookMs: number
  readonly status: number
  /** What is wrong with the answer; undefined where it is right. */
  readonly wrong: string | undefined
  /** X-Cache-Status of the answer. */
  readonly cache: string | undefined
}

/** A person who is signed in, with the name that the last acknowledged change gave them. */
export type Person = {
  readonly token: string
  readonly billCount: number
  name: string
  changes: number
}

/**
 * Clients that use the API as people do, one request after another, until they are stopped: read the profile, read
 * the bills, and now and then change the name and read it back. Each client is a person of its own, so each knows what
 * the right answer is: the name of its last change, and all its bills.
 */
export function startClients({ api, people }: { api: string; people: readonly Person[] }) {
  const observations: Observation[] = []
  const stop = new AbortController()

  async function call(person: Person, method: string, path: string, body?: object) {
    const started = performance.now()
    const observe = (status: number, cache: string | undefined, wrong: string | undefined) =>
      observations.push({
        atMs: started,
        tookMs: performance.now() - started,
        status,
        cache,
        wrong: wrong === undefined ? undefined : `${method} ${path}: ${wrong}`,
      })
    try {
      const reply = await fetch(`${api}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${person.token}`,
          ...(body ? { 'content-type': 'application/json' } : {}),
        },
        ...(body ? { body: JSON.stringify(body) } : {}),
      })
      const text = await reply.text()
      const cache = reply.headers.get('x-cache-status') ?? undefined
      const failure = reply.ok ? check(person, path, JSON.parse(text)) : `${reply.status} ${text}`
      observe(reply.status, cache, failure)
      return reply.ok
    } catch (cause) {
      observe(0, undefined, String(cause instanceof Error ? (cause.cause ?? cause) : cause))
      return false
    }
  }

  function check(person: Person, path: string, body: { name?: string; items?: unknown[] }) {
    if (path.startsWith('/bills')) {
      const found = body.items?.length
      return found === person.billCount
        ? undefined
        : `${found} bills instead of ${person.billCount}`
    }
    return body.name === person.name ? undefined : `the name ${body.name} instead of ${person.name}`
  }

  async function live(person: Person): Promise<void> {
    for (let turn = 0; !stop.signal.aborted; turn++) {
      if (turn % 10 === 9) {
        const before = person.name
        person.name = `Ada ${++person.changes}`
        if (!(await call(person, 'PATCH', '/me', { name: person.name }))) person.name = before
      } else {
        await call(person, 'GET', turn % 2 === 0 ? '/me' : '/bills?limit=100')
      }
      await wait(5)
    }
  }

  const clients = people.map(live)
  return {
    observations,
    /** What came in since a moment of `performance.now()`. */
    since: (atMs: number) => observations.filter((one) => one.atMs >= atMs),
    async stop(): Promise<void> {
      stop.abort()
      await Promise.all(clients)
    },
  }
}
