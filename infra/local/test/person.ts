import { eventually } from '@wattle/testkit'
import type { Person } from './load.ts'

let people = 0

/** JSON of a reply that must have succeeded. */
export async function ok<T>(reply: Response): Promise<T> {
  if (!reply.ok) throw new Error(`${reply.url}: ${reply.status} ${await reply.text()}`)
  return (await reply.json()) as T
}

export function post(url: string, body: object, token?: string): Promise<Response> {
  return fetch(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify(body),
  })
}

/** Registers and logs in, and gets the access token. A stack that has just started may be too busy for a moment. */
export async function signUp(
  api: string,
  account: { email: string; password: string; name: string },
): Promise<string> {
  const patiently = <T>(path: string, body: object) =>
    eventually(async () => ok<T>(await post(`${api}${path}`, body)), { everyMs: 500 })
  await patiently('/auth/register', account)
  const { email, password } = account
  return (await patiently<{ accessToken: string }>('/auth/login', { email, password })).accessToken
}

/** Signs a new person up and in, as the website would, and links a meter, so that there are bills. */
export async function newPerson(api: string): Promise<Person> {
  const number = ++people
  const email = `person-${process.pid}-${number}@example.com`
  const password = 'correct horse battery'
  const token = await signUp(api, { email, password, name: 'Ada 0' })
  const authorization = `Bearer ${token}`
  const providers = await ok<{ items: { id: string }[] }>(await fetch(`${api}/providers`))
  const customerNumber = String(10_000_000 + number)
  const providerId = providers.items[0]?.id
  await ok(await post(`${api}/bills/accounts`, { providerId, customerNumber }, token))
  const bills = await ok<{ items: object[] }>(
    await fetch(`${api}/bills?limit=100`, { headers: { authorization } }),
  )
  return { token, billCount: bills.items.length, name: 'Ada 0', changes: 0 }
}
