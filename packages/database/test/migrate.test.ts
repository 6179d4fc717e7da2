import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { eventually, startDatabase, type TestDatabase } from '@wattle/testkit'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { migrate } from '../src/index.ts'

describe('migrate', () => {
  let test: TestDatabase
  let directory: string

  beforeEach(async () => {
    test = await startDatabase()
    directory = await mkdtemp(join(tmpdir(), 'wattle-migrations-'))
  })
  afterEach(async () => {
    await test.drop()
    await rm(directory, { recursive: true })
  })

  const files = (contents: Record<string, string>) =>
    Promise.all(
      Object.entries(contents).map(([name, sql]) => writeFile(join(directory, name), sql)),
    )
  const run = (options: { waitMs?: number; lockTimeoutMs?: number } = {}) =>
    migrate({ url: test.ownerUrl, directory, ...options })
  const tables = async () => {
    const rows = await test.query(
      `select tablename from pg_tables where schemaname = 'public' order by 1`,
    )
    return rows.map((row) => row['tablename'])
  }

  it('applies the files in order, once', async () => {
    await files({
      '0002_more.sql': 'alter table a add column b int;',
      '0001_first.sql': 'create table a (id int);',
      'README.md': 'not a migration',
    })
    expect(await run()).toEqual({ applied: ['0001_first.sql', '0002_more.sql'], total: 2 })
    expect(await run()).toEqual({ applied: [], total: 2 })
    await files({ '0003_last.sql': 'create table c (id int);' })
    expect(await run()).toEqual({ applied: ['0003_last.sql'], total: 3 })
    expect(await tables()).toEqual(['a', 'c'])
  })

  it('of several processes at once one migrates and the others find it done', async () => {
    await files({ '0001_slow.sql': 'select pg_sleep(0.3); create table a (id int);' })
    const results = await Promise.all([run(), run(), run()])
    expect(results.flatMap((result) => result.applied)).toEqual(['0001_slow.sql'])
  })

  it('waits for another process only for so long', async () => {
    await files({ '0001_slow.sql': 'select pg_sleep(1);' })
    const first = run()
    await eventually(async () => {
      const running = await test.query(
        `select from pg_stat_activity where query like '%pg_sleep(1)%' and pid <> pg_backend_pid()`,
      )
      expect(running).toHaveLength(1)
    })
    await expect(run({ waitMs: 100 })).rejects.toThrow('another process has been migrating')
    await first
  })

  it('refuses a file that was edited after it was applied, before it does anything', async () => {
    await files({ '0001_first.sql': 'create table a (id int);' })
    await run()
    await files({
      '0001_first.sql': 'create table a (id bigint);',
      '0002_next.sql': 'create table b (id int);',
    })
    await expect(run()).rejects.toThrow(/^0001_first\.sql is not what was applied/)
    expect(await tables()).toEqual(['a'])
  })

  it('takes other line ends for the same file', async () => {
    await files({ '0001_first.sql': 'create table a (\n id int);\n' })
    await run()
    await files({ '0001_first.sql': 'create table a (\r\n id int);\r\n' })
    expect(await run()).toEqual({ applied: [], total: 1 })
  })

  it('refuses gaps, duplicate numbers and names that do not fit', async () => {
    await files({ '0001_a.sql': '', '0003_c.sql': '' })
    await expect(run()).rejects.toThrow('0003_c.sql: the next number is 0002')
    await files({ '0002_b.sql': '', '0002_c.sql': '' })
    await expect(run()).rejects.toThrow('0002_b.sql and 0002_c.sql have the same number')
    await rm(join(directory, '0002_c.sql'))
    await files({ 'fix.sql': '' })
    await expect(run()).rejects.toThrow('fix.sql: a migration is named like')
    expect(await tables()).toEqual([])
  })

  it('a failure names file, line, column and reason, and leaves nothing of the file', async () => {
    await files({
      '0001_good.sql': 'create table a (id int);',
      '0002_bad.sql': `-- ₦ counts as one character\ncreate table b (id int);\nselect id,\n  nothing from b;`,
    })
    await expect(run()).rejects.toThrow(
      /^0002_bad\.sql:4:3: column "nothing" does not exist \[42703\]; nothing of this file was applied$/,
    )
    expect(await tables()).toEqual(['a'])

    await files({ '0002_bad.sql': 'create table b (id int);' })
    expect(await run()).toMatchObject({ applied: ['0002_bad.sql'] })
  })

  it('a file is applied together with the note of it, or not at all', async () => {
    await files({ '0001_a.sql': 'create table a (id int); drop table migrations.applied;' })
    await expect(run()).rejects.toThrow(/^0001_a\.sql: .*"migrations.applied" does not exist/)
    expect(await tables()).toEqual([])
  })

  it('a killed migration leaves nothing of its file, and the next run applies it', async () => {
    await files({ '0001_slow.sql': 'create table a (id int); select pg_sleep(5);' })
    const killed = run().catch((error: unknown) => error)
    await eventually(async () => {
      const running = await test.query(
        `select pg_terminate_backend(pid) from pg_stat_activity
         where query like 'create table a%' and pid <> pg_backend_pid()`,
      )
      expect(running).toHaveLength(1)
    })
    expect(String(await killed)).toContain('nothing of this file was applied')
    expect(await tables()).toEqual([])
    await files({ '0001_slow.sql': 'create table a (id int);' })
    await run()
    expect(await tables()).toEqual(['a'])
  })

  it('refuses a file that ends its own transaction, but not the begin of a function body', async () => {
    await files({
      '0001_function.sql': `create function f() returns int language plpgsql as $$\nbegin\n  return 1;\nend;\n$$;`,
      '0002_commit.sql': 'create table a (id int);\ncommit;\nselect nonsense;',
    })
    await expect(run()).rejects.toThrow(/^0002_commit\.sql:2: COMMIT has no place/)
    await rm(join(directory, '0002_commit.sql'))
    await run()
  })

  it('leaves a database that is ahead of the files as it is', async () => {
    await files({
      '0001_a.sql': 'create table a (id int);',
      '0002_b.sql': 'create table b (id int);',
    })
    await run()
    await rm(join(directory, '0002_b.sql'))
    expect(await run()).toEqual({ applied: [], total: 1 })
    expect(await tables()).toEqual(['a', 'b'])
  })

  it('does not queue the traffic behind a table that is in use', async () => {
    await files({ '0001_a.sql': 'create table a (id int);' })
    await run()
    await files({ '0002_b.sql': 'alter table a add column b int;' })
    const holder = test.query('begin; select * from a; select pg_sleep(1); commit')
    await eventually(async () => {
      const held = await test.query(`select from pg_locks where relation = 'a'::regclass`)
      expect(held).not.toHaveLength(0)
    })
    await expect(run({ lockTimeoutMs: 50 })).rejects.toThrow(/0002_b\.sql.*lock timeout/)
    await holder
    expect(await run()).toMatchObject({ applied: ['0002_b.sql'] })
  })
})
