import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startDatabase, type TestDatabase } from '@wattle/testkit'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { checkSchemaTypes, migrate } from '../src/index.ts'

describe('types of the schema', () => {
  let test: TestDatabase
  let directory: string
  let file: string

  beforeAll(async () => {
    test = await startDatabase()
    directory = await mkdtemp(join(tmpdir(), 'wattle-types-'))
    file = join(directory, 'schema.ts')
    await writeFile(
      join(directory, '0001_a.sql'),
      `create type kind as enum ('x', 'y');
       create domain amount as bigint check (value >= 0);
       create table things (id text primary key, kind kind not null, amount amount not null default 0, day date)`,
    )
    await migrate({ url: test.ownerUrl, directory })
  })
  afterAll(async () => {
    await test.drop()
    await rm(directory, { recursive: true })
  })

  it('are written on request, as queries deliver the values, and then match', async () => {
    vi.stubEnv('UPDATE_TYPES', '1')
    await checkSchemaTypes({ url: test.url, file })
    vi.unstubAllEnvs()
    await checkSchemaTypes({ url: test.url, file })
    const text = await readFile(file, 'utf8')
    expect(text).toContain('amount: Generated<number>;')
    expect(text).toContain('day: string | null;')
    expect(text).toContain('export type Kind = "x" | "y";')
    expect(text).not.toContain('checksum')
  })

  it('that do not match, or do not exist, are an error that says what to do', async () => {
    await test.query('alter table things add column extra int')
    await expect(checkSchemaTypes({ url: test.url, file })).rejects.toThrow('UPDATE_TYPES=1')
    const absent = checkSchemaTypes({ url: test.url, file: join(directory, 'absent.ts') })
    await expect(absent).rejects.toThrow('does not match the migrated schema')
  })
})
