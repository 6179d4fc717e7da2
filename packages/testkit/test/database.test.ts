import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Client } from 'pg'
import { describe, expect, it } from 'vitest'
import { startDatabase, type Migrate } from '@wattle/testkit'

const migrations = fileURLToPath(new URL('migrations', import.meta.url))

async function query(connectionString: string, sql: string) {
  const client = new Client({ connectionString })
  client.on('error', () => undefined)
  await client.connect()
  try {
    return await client.query<Record<string, unknown>>(sql)
  } finally {
    await client.end()
  }
}

/** Runs every file: all that a template needs of a migration tool. */
const migrate: Migrate = async ({ url, directory }) => {
  for (const file of readdirSync(directory).toSorted()) {
    await query(url, readFileSync(`${directory}/${file}`, 'utf8'))
  }
}

describe('a database for a test file', () => {
  it('is on a real PostgreSQL and isolated from every other', async () => {
    await using one = await startDatabase({ service: 'notes', migrations, migrate })
    const started = performance.now()
    await using other = await startDatabase({ service: 'notes', migrations, migrate })
    console.log(`a further database took ${Math.round(performance.now() - started)} ms`)
    await query(one.url, `insert into notes (text) values ('a')`)
    expect((await query(one.url, 'select text from notes')).rows).toEqual([{ text: 'a' }])
    expect((await query(other.url, 'select text from notes')).rows).toEqual([])
  })

  it('has a runtime role that reads and writes rows and cannot change tables', async () => {
    await using database = await startDatabase({ service: 'notes', migrations, migrate })
    await expect(query(database.url, 'drop table notes')).rejects.toThrow('must be owner')
    await expect(query(database.url, 'create table t (id int)')).rejects.toThrow('permission')
    await query(database.ownerUrl, 'alter table notes add column extra text')
  })

  it('cannot be entered by the role of another service', async () => {
    await using database = await startDatabase({ service: 'notes', migrations, migrate })
    await using stranger = await startDatabase({ service: 'stranger' })
    const url = stranger.url.replace(stranger.name, database.name)
    await expect(query(url, 'select 1')).rejects.toThrow('permission denied for database')
  })

  it('can be away: it refuses connections, ends those that are open, and returns', async () => {
    await using database = await startDatabase()
    const client = new Client({ connectionString: database.url })
    const lost = new Promise((resolve) => client.on('error', resolve))
    await client.connect()
    await database.refuse()
    expect(await lost).toBeInstanceOf(Error)
    await expect(query(database.url, 'select 1')).rejects.toThrow('not currently accepting')
    await database.allow()
    expect((await query(database.url, 'select 1 as one')).rows).toEqual([{ one: 1 }])
  })

  it('runs the migrations once for many databases asked for at the same moment', async () => {
    let runs = 0
    const counted: Migrate = async (options) => {
      runs++
      await migrate(options)
    }
    const wanted = Array.from({ length: 4 }, () =>
      startDatabase({ service: 'together', migrations, migrate: counted }),
    )
    const databases = await Promise.all(wanted)
    expect(runs).toBeLessThanOrEqual(1)
    await Promise.all(databases.map((database) => database.drop()))
  })
})
