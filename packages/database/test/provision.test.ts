import { randomBytes } from 'node:crypto'
import { startDatabase, type TestDatabase } from '@wattle/testkit'
import { sql } from 'kysely'
import { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openDatabase, provisionDatabase } from '../src/index.ts'
import { changeUrl } from '../src/url.ts'

async function query(url: string, text: string): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query<Record<string, unknown>>(text)).rows
  } finally {
    await client.end()
  }
}

describe('R4: the database of a service and its two roles', () => {
  const service = `prov_${randomBytes(4).toString('hex')}`
  const passwords = { password: `it's "odd" @/:?#%`, ownerPassword: 'another' }
  let test: TestDatabase
  let adminUrl: string
  let urls: { url: string; ownerUrl: string }

  beforeAll(async () => {
    test = await startDatabase()
    adminUrl = changeUrl(test.adminUrl, { database: 'postgres' })
    urls = await provisionDatabase({ adminUrl, service, ...passwords })
    await query(
      urls.ownerUrl,
      `create table ledger (id bigint generated always as identity, amount int);
       revoke update, delete on ledger from ${service};`,
    )
  })
  afterAll(async () => {
    await query(adminUrl, `drop database if exists ${service} with (force)`)
    await query(adminUrl, `drop role ${service}`)
    await query(adminUrl, `drop role ${service}_owner`)
    await test.drop()
  })

  it('the service reads and writes the rows of tables that the owner makes', async () => {
    const rows = await query(urls.url, 'insert into ledger (amount) values (5) returning amount')
    expect(rows).toEqual([{ amount: 5 }])
  })

  it.each([
    'create table mine (id int)',
    'create schema mine',
    'create temporary table mine (id int)',
    'alter table ledger add column x int',
    'drop table ledger',
    'truncate ledger',
    'create role another',
    'create database another',
  ])('the service may not: %s', async (statement) => {
    await expect(query(urls.url, statement)).rejects.toThrow(/permission denied|must be owner/)
  })

  it('a migration can take rights away, and provisioning again does not give them back', async () => {
    const again = await provisionDatabase({ adminUrl, service, ...passwords })
    expect(again).toEqual(urls)
    for (const statement of ['update ledger set amount = 1', 'delete from ledger']) {
      await expect(query(again.url, statement)).rejects.toThrow('permission denied')
    }
  })

  it('provisioning again changes the passwords', async () => {
    const changed = await provisionDatabase({
      adminUrl,
      service,
      password: 'new one',
      ownerPassword: passwords.ownerPassword,
    })
    await query(changed.url, 'select 1')
    await expect(query(urls.url, 'select 1')).rejects.toThrow('password authentication failed')
    await provisionDatabase({ adminUrl, service, ...passwords })
  })

  it('may be done by several at once', async () => {
    const all = Array.from({ length: 4 }, () =>
      provisionDatabase({ adminUrl, service, ...passwords }),
    )
    for (const result of await Promise.all(all)) expect(result).toEqual(urls)
  })

  it('one service cannot connect to the database of another', async () => {
    const foreign = changeUrl(urls.url, { database: test.name })
    await expect(query(foreign, 'select 1')).rejects.toThrow('permission denied for database')
  })

  it('gives the rights that test databases have', async () => {
    const rights = (url: string, owner: string) =>
      query(
        url,
        `select n.nspacl::text as schema, array_agg(d.defaclobjtype::text || d.defaclacl::text order by d.defaclobjtype)::text as defaults
         from pg_namespace n join pg_default_acl d on d.defaclnamespace = n.oid where n.nspname = 'public'
         group by 1`,
      ).then((rows) =>
        JSON.stringify(rows).replaceAll(owner, 'test_owner').replaceAll(service, 'test'),
      )
    const real = await rights(changeUrl(adminUrl, { database: service }), `${service}_owner`)
    expect(real).toBe(await rights(test.adminUrl, 'test_owner'))
  })

  it('refuses a name that would need quoting', async () => {
    const odd = provisionDatabase({ adminUrl, service: 'a"; drop database b', ...passwords })
    await expect(odd).rejects.toThrow('cannot be the name of a role or database')
  })

  it('the URLs serve openDatabase over a Unix socket', async () => {
    const database = openDatabase<Record<string, never>>({ url: urls.url, name: 'provision-test' })
    const { rows } = await sql<{ role: string }>`select current_user as role`.execute(
      database.kysely,
    )
    expect(rows).toEqual([{ role: service }])
    await database.close()
  })
})
