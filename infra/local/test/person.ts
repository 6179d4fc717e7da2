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

/** Signs a new person up and in, as the website would, and links a meter, so that there are bills. */
export async function newPerson(api: string): Promise<Person> {
  const number = ++people
  const email = `person-${process.pid}-${number}@example.com`
  const password = 'correct horse battery'
  await ok(await post(`${api}/auth/register`, { email, password, name: 'Ada 0' }))
  const { accessToken: token } = await ok<{ accessToken: string }>(
    await post(`${api}/auth/login`, { email, password }),
  )
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
