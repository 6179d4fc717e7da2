import { startDatabase, type TestDatabase } from '@wattle/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readFileSync } from 'node:fs'
import { databaseVariable, listServices, ownerDatabaseVariable } from '../src/service-list.ts'
import { peopleFile } from '../src/stack.ts'
import { post } from './person.ts'
import {
  choosePlace,
  expectNothingLeft,
  launch,
  processesOf,
  readyLine,
  type Place,
} from './stack.ts'

let place: Place
const databases: TestDatabase[] = []
const env: Record<string, string> = {}
beforeAll(async () => {
  place = await choosePlace()
  for (const { name, migrations } of listServices()) {
    if (migrations === undefined) continue
    const database = await startDatabase({ service: name })
    databases.push(database)
    env[databaseVariable(name)] = database.url
    env[ownerDatabaseVariable(name)] = database.ownerUrl
  }
})
afterAll(async () => {
  await Promise.all(databases.map((database) => database.drop()))
  place.remove()
})

describe('R5 databases given from outside', { timeout: 60_000 }, () => {
  test.each([
    ['are migrated and otherwise left as they are', [], 401],
    ['get the demo data when that is asked for', ['--seed'], 200],
  ])('%s, and no PostgreSQL is started', async (_what, args, status) => {
    const run = launch(place, 'start', args, env)
    await run.says(readyLine(place))
    expect(processesOf(place).filter((text) => text.includes('postgres'))).toEqual([])
    const [person] = JSON.parse(readFileSync(peopleFile, 'utf8')) as [Record<string, string>]
    const { email, password } = person
    const gateway = `http://127.0.0.1:${place.ports.services['gateway']}`
    expect((await post(`${gateway}/api/auth/login`, { email, password })).status).toBe(status)
    run.kill('SIGINT')
    expect(await run.ended).toBe(0)
    await expectNothingLeft(place)
  })
})
