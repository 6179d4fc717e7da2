import { readFile } from 'node:fs/promises'
import { idSchema, Language } from '@wattle/contracts'
import { openDatabase, type Database } from '@wattle/database'
import { ConfigError, loadConfig } from '@wattle/service'
import { Type, type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { databaseUrl } from './config.ts'
import { normalizeEmail } from './email.ts'
import { createPasswords, type Passwords } from './passwords.ts'
import type { DB } from './schema.ts'

/** Someone who is there from the start, such as a demo login. */
const Person = Type.Object({
  id: idSchema('usr'),
  email: Type.String(),
  name: Type.String(),
  password: Type.String(),
  phone: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  language: Type.Optional(Language),
  roles: Type.Optional(Type.Array(Type.String())),
})
type Person = Static<typeof Person>

const people = Compile(Type.Array(Person))

/** The people in the text of a people file; throws an Error that names the file and the fault. */
export function readPeople(text: string, name: string): Person[] {
  const parsed: unknown = JSON.parse(text)
  if (people.Check(parsed)) return parsed
  const [fault] = people.Errors(parsed)
  throw new Error(`${name}${fault?.instancePath ?? ''} ${fault?.message ?? 'is not valid'}`)
}

/**
 * Opens the accounts that do not exist yet, by id, and leaves the others as they are. Returns how many were opened.
 * An address that another id holds is an error.
 */
export async function seedPeople(
  { database, passwords }: { database: Database<DB>; passwords: Passwords },
  wanted: readonly Person[],
): Promise<number> {
  const ids = wanted.map(({ id }) => id)
  const rows = await database.kysely
    .selectFrom('users')
    .select('id')
    .where('id', 'in', [...ids, ''])
    .execute()
  const present = new Set(rows.map(({ id }) => id))
  let opened = 0
  for (const person of wanted.filter(({ id }) => !present.has(id))) {
    const { id, name, phone = null, language = 'en', roles = [] } = person
    const email = normalizeEmail(person.email)
    const passwordHash = await passwords.hash(person.password)
    opened += await database.transaction(async (trx) => {
      const inserted = await trx
        .insertInto('users')
        .values({ id, email, name, phone, roles, password_hash: passwordHash })
        .onConflict((conflict) => conflict.column('id').doNothing())
        .returning('id')
        .executeTakeFirst()
      if (inserted === undefined) return 0
      await trx.insertInto('preferences').values({ user_id: id, language }).execute()
      return 1
    })
  }
  return opened
}

async function main(): Promise<void> {
  const [file] = process.argv.slice(2)
  if (file === undefined) throw new Error('usage: seed.ts <people.json>')
  const { DATABASE_URL_USER } = loadConfig(Type.Object({ DATABASE_URL_USER: databaseUrl }))
  const database = openDatabase<DB>({ url: DATABASE_URL_USER, name: 'user-seed', poolSize: 1 })
  try {
    const wanted = readPeople(await readFile(file, 'utf8'), file)
    const opened = await seedPeople({ database, passwords: createPasswords() }, wanted)
    console.log(`user: ${opened} of ${wanted.length} accounts opened`)
  } finally {
    await database.close()
  }
}

if (import.meta.main) {
  await main().catch((error: unknown) => {
    const isExpected = error instanceof ConfigError || !(error instanceof Error)
    process.stderr.write(`user seed: ${isExpected ? String(error) : error.message}\n`)
    process.exitCode = 1
  })
}
