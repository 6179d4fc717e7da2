import { describe, expect, it } from 'vitest'
import {
  dockerAvailable,
  startDatabaseContainer,
  startRedisContainer,
  whyNoDocker,
} from '@wattle/testkit'
import { redisPromises } from './redis-suite.ts'

const absent = await whyNoDocker()
const engines = absent === undefined ? ['Docker'] : []
if (absent !== undefined) console.log(`containers are not tested here: ${absent}`)

describe('the look for a Docker engine', () => {
  it('says no exactly when it can say what is missing', async () => {
    expect(await dockerAvailable()).toBe(absent === undefined)
  })
})

describe.each(engines)('a Redis in a container of %s', () => {
  redisPromises(startRedisContainer)
})

describe.each(engines)('a PostgreSQL in a container of %s', () => {
  it('gives a database with the two roles of a service', async () => {
    await using database = await startDatabaseContainer({ service: 'notes' })
    await database.query('create table notes (text text)')
    expect(await database.query('select * from notes')).toEqual([])
    expect(database.url).toContain('notes:')
  })
})
