import { writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { generate, PostgresDialect } from 'kysely-codegen'
import { openDatabase } from '../src/database.ts'

const help = `Writes the TypeScript types of the tables in schema public, as queries deliver their values.

  node generate-types.ts --out apps/billing/src/schema.ts [--url-env DATABASE_URL]

  --out FILE        the file to write; standard output where it is not said
  --url-env NAME    environment variable with the URL of a migrated database (default DATABASE_URL)`

const { values } = parseArgs({
  options: {
    out: { type: 'string' },
    'url-env': { type: 'string', default: 'DATABASE_URL' },
    help: { type: 'boolean', short: 'h', default: false },
  },
})
const url = process.env[values['url-env']]
if (values.help) {
  console.log(help)
} else if (!url) {
  console.error(`the environment variable ${values['url-env']} is not set; see --help`)
  process.exitCode = 2
} else {
  const types = await schemaTypes(url)
  if (values.out) await writeFile(values.out, types)
  else process.stdout.write(types)
}

async function schemaTypes(databaseUrl: string): Promise<string> {
  const database = openDatabase<unknown>({ url: databaseUrl, name: 'generate-types', poolSize: 2 })
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
