import { parseArgs } from 'node:util'
import { migrate } from './migrate.ts'
import { MigrationError } from './migration-files.ts'

const help = `Applies the SQL migrations of a directory to a PostgreSQL database.

  node migrate-command.ts --directory apps/billing/migrations [--url-env DATABASE_URL]

  --directory DIR   files 0001_name.sql, 0002_name.sql, …
  --url-env NAME    environment variable with the URL of the owner role (default DATABASE_URL)

Exit status 0: the database is at the last migration. 1: a migration failed, and nothing of it was applied.
2: the command was called wrongly.`

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      directory: { type: 'string' },
      'url-env': { type: 'string', default: 'DATABASE_URL' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) {
    console.log(help)
    return 0
  }
  const url = process.env[values['url-env']]
  if (!values.directory) return usage('--directory is missing')
  if (!url) return usage(`the environment variable ${values['url-env']} is not set`)

  const { applied, total } = await migrate({ url, directory: values.directory })
  for (const name of applied) console.log(`applied ${name}`)
  console.log(`the database is at migration ${total}`)
  return 0
}

function usage(problem: string): number {
  console.error(`${problem}; see --help`)
  return 2
}

try {
  process.exitCode = await main()
} catch (error) {
  if (error instanceof MigrationError) {
    console.error(error.message)
    process.exitCode = 1
  } else if (error instanceof TypeError && 'code' in error) {
    process.exitCode = usage(error.message)
  } else {
    throw error
  }
}
