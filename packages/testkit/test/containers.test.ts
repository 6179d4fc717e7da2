import { describe, expect, it } from 'vitest'
import {
  dockerAvailable,
  startDatabaseContainer,
  startRedisContainer,
  whyNoDocker,
} from '@wattle/testkit'
import { redisPromises } from './redis-suite.ts'

const absent = await whyNoDocker()
if (absent !== undefined) console.log(`containers are not tested here: ${absent}`)

describe('the look for a Docker engine', () => {
  it('says yes, or says what is missing', async () => {
    expect(await dockerAvailable()).toBe(absent === undefined)
    if (absent !== undefined) expect(absent).toMatch(/\w/)
  })
})

if (absent === undefined) {
  describe('a Redis in a container', () => {
    redisPromises(startRedisContainer)
  })

  describe('a PostgreSQL in a container', () => {
    it('gives a database with the two roles of a service', async () => {
      await using database = await startDatabaseContainer({ service: 'notes' })
      await database.query('create table notes (text text)')
      expect(await database.query('select * from notes')).toEqual([])
      expect(database.url).toContain('notes:')
    })
  })
}
