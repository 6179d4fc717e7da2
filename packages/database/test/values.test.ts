import { startDatabase, type TestDatabase } from '@wattle/testkit'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  isCheckViolation,
  isForeignKeyViolation,
  isUniqueViolation,
  openDatabase,
  type Database,
} from '../src/index.ts'

describe('values', () => {
  let test: TestDatabase
  let database: Database<Record<string, never>>

  beforeAll(async () => {
    test = await startDatabase()
    database = openDatabase({ url: test.url, name: 'values-test' })
  })
  afterAll(async () => {
    await database.close()
    await test.drop()
  })

  const value = async (expression: string) => {
    const { rows } = await sql<{ value: unknown }>`select ${sql.raw(expression)} as value`.execute(
      database.kysely,
    )
    return rows[0]?.value
  }

  it('int8 is a number up to 2^53 - 1 on both sides of zero', async () => {
    expect(await value('9007199254740991::int8')).toBe(Number.MAX_SAFE_INTEGER)
    expect(await value('-9007199254740991::int8')).toBe(Number.MIN_SAFE_INTEGER)
    expect(await value('array[1, null, 2]::int8[]')).toEqual([1, null, 2])
  })

  it('int8 past that is an error, never a rounded amount, and the connection goes on', async () => {
    await expect(value('9007199254740992::int8')).rejects.toThrow('not a safe integer')
    expect(await value('1::int8')).toBe(1)
  })

  it('a date is its text in every time zone, a timestamp is a moment', async () => {
    expect(await value(`'2026-03-01'::date`)).toBe('2026-03-01')
    expect(await value(`array['2026-03-01']::date[]`)).toEqual(['2026-03-01'])
    expect(await value(`'2026-03-01 01:00+01'::timestamptz`)).toEqual(new Date('2026-03-01T00:00Z'))
  })

  it('numeric keeps its digits', async () => {
    expect(await value('0.1000::numeric')).toBe('0.1000')
  })

  it('tells which constraint refused a row', async () => {
    await test.query(`
      create table parents (id int primary key, n int constraint small check (n < 10));
      create table children (parent int constraint of_parent references parents (id));
      insert into parents values (1, 1)`)
    const refusal = async (statement: string) =>
      sql
        .raw(statement)
        .execute(database.kysely)
        .catch((error: unknown) => error)

    const unique = await refusal('insert into parents values (1, 1)')
    expect(isUniqueViolation(unique, 'parents_pkey')).toBe(true)
    expect(isUniqueViolation(unique, 'another')).toBe(false)
    expect(isCheckViolation(unique)).toBe(false)
    expect(isCheckViolation(await refusal('insert into parents values (2, 11)'), 'small')).toBe(
      true,
    )
    const foreign = await refusal('insert into children values (9)')
    expect(isForeignKeyViolation(foreign, 'of_parent')).toBe(true)
  })
})
