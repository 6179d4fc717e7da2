import { writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { schemaTypes } from './schema-types.ts'

const help = `Writes the TypeScript types of a migrated database.

  node generate-types.ts --out apps/billing/src/schema.ts [--url-env DATABASE_URL]

  --out FILE        the file to write; standard output where it is not said
  --url-env NAME    environment variable with the URL of the database (default DATABASE_URL)`

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
  else console.log(types)
}
