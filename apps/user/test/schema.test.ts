import { outboxMigration } from '@wattle/cache'
import { checkMigrationCopies, checkSchemaTypes, migrate } from '@wattle/database'
import { startDatabase } from '@wattle/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { migrations } from './world.ts'

let postgres: Awaited<ReturnType<typeof startDatabase>>
beforeAll(async () => {
  postgres = await startDatabase({ service: 'user', migrations, migrate })
})
afterAll(() => postgres.drop())

describe('the database of the user service', () => {
  test('has the types that the code believes', async () => {
    const file = new URL('../src/schema.ts', import.meta.url)
    await expect(checkSchemaTypes({ url: postgres.ownerUrl, file })).resolves.toBeUndefined()
  })

  test('has the table for invalidations as the cache wants it', () => {
    expect(() => checkMigrationCopies(migrations, [outboxMigration])).not.toThrow()
  })

  test.each([
    `insert into users (id, email, password_hash, name) values ('usr_1', 'Upper@example.com', '$argon2id$x', 'n')`,
    `insert into users (id, email, password_hash, name) values ('usr_1', 'a@b.co', 'plain text', 'n')`,
    `insert into users (id, email, password_hash, name) values ('bil_1', 'a@b.co', '$argon2id$x', 'n')`,
    `insert into preferences (user_id) values ('usr_nobody')`,
  ])('refuses %s', async (sql) => {
    await expect(postgres.query(sql)).rejects.toThrow(/violates/)
  })
})
