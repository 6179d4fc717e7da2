import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readPeople, seedPeople } from '../src/seed.ts'
import { startUser, type UserWorld } from './world.ts'

let world: UserWorld
beforeAll(async () => {
  world = await startUser()
})
afterAll(() => world.stop())

const people = [
  {
    id: 'usr_01936b0e-0000-7000-8000-000000000001',
    email: 'Ada@Demo.example',
    name: 'Ada Obi',
    password: 'demo password 1',
    phone: '+2348012345678',
    language: 'ig',
  },
  {
    id: 'usr_01936b0e-0000-7000-8000-000000000002',
    email: 'op@demo.example',
    name: 'Op',
    password: 'demo password 2',
    roles: ['operator'],
  },
] as const

describe('the demo people', () => {
  test('are opened once, can log in, and keep what they changed when seeded again', async () => {
    const wanted = readPeople(JSON.stringify(people), 'people.json')
    expect(await seedPeople(world.deps, wanted)).toBe(2)
    const reply = await world.login('ada@demo.example', 'demo password 1')
    expect(reply.statusCode).toBe(200)
    const { accessToken } = reply.json<{ accessToken: string }>()
    expect(await world.people.verify(accessToken)).toMatchObject({ userId: people[0].id })

    const call = world.callAs(people[0].id)
    expect((await call('GET', '/me/preferences')).json()).toMatchObject({ language: 'ig' })
    await call('PATCH', '/me', { name: 'Ada Changed' })
    expect(await seedPeople(world.deps, wanted)).toBe(0)
    expect((await call('GET', '/me')).json()).toMatchObject({ name: 'Ada Changed' })
  })

  test('seeded by two at once are opened once', async () => {
    const wanted = readPeople(
      JSON.stringify([{ ...people[0], id: people[0].id.replace(/1$/, '9'), email: 'x@y.example' }]),
      'people.json',
    )
    const opened = await Promise.all([1, 2, 3].map(() => seedPeople(world.deps, wanted)))
    expect(opened.filter((count) => count === 1)).toHaveLength(1)
    expect(opened.filter((count) => count === 0)).toHaveLength(2)
  })

  test('of a file with a fault are refused, and the place is named', () => {
    const [first] = people
    for (const bad of [{ ...first, id: 'usr_1' }, { ...first, language: 'fr' }, { name: 'x' }, 1]) {
      expect(() => readPeople(JSON.stringify([bad]), 'people.json')).toThrow(/^people\.json\/0/)
    }
  })
})
