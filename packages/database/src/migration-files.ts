import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

export type MigrationFile = {
  readonly number: number
  /** `0001_bills.sql` */
  readonly name: string
  readonly sql: string
  /** SHA-256 of the text with LF line ends, so that a checkout on another system counts as the same. */
  readonly checksum: string
}

/** What is wrong with the migrations, in words for the person who runs them. */
export class MigrationError extends Error {
  override readonly name = 'MigrationError'
}

const fileName = /^(\d{4})_[a-z0-9_]+\.sql$/

/**
 * The migrations of a directory in order: `0001_what_it_does.sql`, numbered without gap or duplicate from 0001. Files
 * that do not end in `.sql` are left alone.
 *
 * @throws MigrationError for a name or number that does not fit, and for a file that ends its own transaction.
 */
export async function readMigrations(directory: string): Promise<MigrationFile[]> {
  const names = await readdir(directory).catch((error: unknown) => {
    throw new MigrationError(`${directory} cannot be read as a directory of migrations`, {
      cause: error,
    })
  })
  const files: MigrationFile[] = []
  for (const name of names.filter((name) => name.endsWith('.sql')).toSorted()) {
    const number = Number(fileName.exec(name)?.[1] ?? Number.NaN)
    if (Number.isNaN(number)) {
      throw new MigrationError(`${name}: a migration is named like 0001_create_bills.sql`)
    }
    const previous = files.at(-1)
    if (previous?.number === number) {
      throw new MigrationError(`${previous.name} and ${name} have the same number; renumber one`)
    }
    if (number !== files.length + 1) {
      const expected = String(files.length + 1).padStart(4, '0')
      throw new MigrationError(`${name}: the next number is ${expected}; a migration is missing`)
    }
    files.push(await readMigration(directory, name, number))
  }
  return files
}

async function readMigration(
  directory: string,
  name: string,
  number: number,
): Promise<MigrationFile> {
  const sql = (await readFile(join(directory, name), 'utf8')).replaceAll('\r\n', '\n')
  const control = transactionControl(sql)
  if (control) {
    throw new MigrationError(
      `${name}:${control.line}: ${control.statement} has no place in a migration; each file runs in a transaction of its own`,
    )
  }
  return { number, name, sql, checksum: createHash('sha256').update(sql).digest('hex') }
}

/** A statement that would end the transaction of the file. Function bodies say `begin` too, but without a semicolon. */
function transactionControl(sql: string): { line: number; statement: string } | undefined {
  const pattern =
    /^[ \t]*((?:begin|commit|rollback|abort|start transaction|end transaction)(?:[ \t]+(?:work|transaction))?)[ \t]*;/im
  const match = pattern.exec(sql)
  if (!match) return undefined
  return {
    line: sql.slice(0, match.index).split('\n').length,
    statement: (match[1] ?? '').toUpperCase(),
  }
}
