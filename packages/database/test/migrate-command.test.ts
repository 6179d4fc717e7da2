import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startDatabase, type TestDatabase } from '@wattle/testkit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const command = fileURLToPath(new URL('../src/migrate-command.ts', import.meta.url))

function call(args: string[], env: Record<string, string> = {}) {
  return new Promise<{ status: number | null; out: string; err: string }>((resolve) => {
    const child = execFile(process.execPath, [command, ...args], { env }, (_error, out, err) =>
      resolve({ status: child.exitCode, out, err }),
    )
  })
}

describe('the migrate command', () => {
  let test: TestDatabase
  let directory: string

  beforeAll(async () => {
    test = await startDatabase()
    directory = await mkdtemp(join(tmpdir(), 'wattle-migrations-'))
    await writeFile(join(directory, '0001_a.sql'), 'create table a (id int);')
  })
  afterAll(async () => {
    await test.drop()
    await rm(directory, { recursive: true })
  })

  it('applies the migrations with the URL from the variable that is named', async () => {
    const args = ['--directory', directory, '--url-env', 'OWNER_URL']
    const { status, out } = await call(args, { OWNER_URL: test.ownerUrl })
    expect({ status, out }).toEqual({
      status: 0,
      out: 'applied 0001_a.sql\nthe database is at migration 1\n',
    })
  })

  it('says what failed in one line and exits with 1', async () => {
    await writeFile(join(directory, '0002_b.sql'), 'create nonsense')
    const failed = await call(['--directory', directory], { DATABASE_URL: test.ownerUrl })
    expect(failed).toMatchObject({ status: 1, out: '' })
    expect(failed.err).toMatch(/^0002_b\.sql:1:8: syntax error at or near "nonsense".*\n$/)
  })

  it('says in one line that the database is away', async () => {
    const url = 'postgresql://a:secret@127.0.0.1:1/b'
    const failed = await call(['--directory', directory], { DATABASE_URL: url })
    expect(failed.status).toBe(1)
    expect(failed.err).toMatch(/^cannot connect to the database: connect ECONNREFUSED.*\n$/)
    expect(failed.err).not.toContain('secret')
  })

  it('explains itself, and names what a call lacks', async () => {
    expect((await call(['--help'])).out).toContain('--directory DIR')
    expect(await call([])).toMatchObject({ status: 2, err: '--directory is missing; see --help\n' })
    expect((await call(['--directory', directory])).err).toContain('DATABASE_URL is not set')
    expect((await call(['--bogus'])).err).toContain("Unknown option '--bogus'")
  })
})
