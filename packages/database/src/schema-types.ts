import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

/** A program of its own, because what it needs is not installed where services run. */
const generator = fileURLToPath(new URL('../tools/generate-types.ts', import.meta.url))

/**
 * For tests: compares the generated types in `file` with the migrated database at `url`. With UPDATE_TYPES=1 in the
 * environment it writes the file instead.
 *
 * @throws Error that says how to generate them anew, when they differ.
 */
export async function checkSchemaTypes(options: {
  url: string
  file: string | URL
}): Promise<void> {
  const file = options.file instanceof URL ? fileURLToPath(options.file) : options.file
  const env = { ...process.env, DATABASE_URL: options.url }
  const { stdout: expected } = await promisify(execFile)(process.execPath, [generator], { env })
  if (process.env['UPDATE_TYPES'] === '1') return writeFile(file, expected)
  const actual = await readFile(file, 'utf8').catch(() => '')
  if (actual === expected) return
  throw new Error(
    `${file} does not match the migrated schema; run this test with UPDATE_TYPES=1 to write it. Expected:\n${expected}`,
  )
}
