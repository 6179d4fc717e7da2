import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { openDatabase } from './database.ts'

/**
 * The TypeScript types of the tables in schema `public`, as the queries of `openDatabase` deliver them. Needs the
 * development dependency kysely-codegen, so it is for generators and tests.
 */
export async function schemaTypes(url: string): Promise<string> {
  const { generate, PostgresDialect } = await import('kysely-codegen')
  const database = openDatabase<unknown>({ url, name: 'schema-types', poolSize: 2 })
  try {
    return await generate({
      db: database.kysely,
      dialect: new PostgresDialect({ dateParser: 'string' }),
      includePattern: 'public.*',
      outFile: null,
      typeMapping: { int8: 'number' },
    })
  } finally {
    await database.close()
  }
}

/**
 * Compares the generated types in `file` with the migrated database at `url`. With UPDATE_TYPES=1 in the environment it
 * writes the file instead.
 *
 * @throws Error that says how to generate them anew, when they differ.
 */
export async function checkSchemaTypes(options: {
  url: string
  file: string | URL
}): Promise<void> {
  const file = options.file instanceof URL ? fileURLToPath(options.file) : options.file
  const expected = await schemaTypes(options.url)
  if (process.env['UPDATE_TYPES'] === '1') return writeFile(file, expected)
  const actual = await readFile(file, 'utf8').catch(() => '')
  if (actual === expected) return
  throw new Error(
    `${file} does not match the migrated schema; run this test with UPDATE_TYPES=1 to write it. Expected:\n${expected}`,
  )
}
