import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { violations } from '../boundaries.ts'

/** Written so, because this file is checked too. */
const dynamic = 'import'
let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'wattle-boundaries-'))
  write('packages/contracts/package.json', '{ "name": "@wattle/contracts" }')
  write(
    'packages/redis/package.json',
    '{ "name": "@wattle/redis", "dependencies": { "@wattle/contracts": "*", "ioredis": "*" } }',
  )
  write(
    'apps/user/package.json',
    '{ "name": "@wattle/user", "dependencies": { "@wattle/redis": "*", "@wattle/billing": "*" } }',
  )
  write('apps/billing/package.json', '{ "name": "@wattle/billing" }')
})
afterEach(() => rmSync(root, { recursive: true }))

function write(path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true })
  writeFileSync(join(root, path), text)
}

describe('imports go one way', () => {
  test('what the table allows passes, in every form of import', () => {
    write(
      'packages/redis/src/index.ts',
      `import Redis, {\n  type RedisOptions,\n} from 'ioredis'\nexport { newId } from '@wattle/contracts'\nimport 'node:fs'\n`,
    )
    expect(violations(root)).toEqual([])
  })

  test.each([
    ['packages/contracts/src/a.ts', `import { x } from '@wattle/redis'`, 'contracts may import'],
    [
      'packages/redis/src/a.ts',
      `const a = await ${dynamic}('@wattle/user')`,
      'nobody imports an app',
    ],
    ['apps/user/src/a.ts', `export { x } from '@wattle/billing'`, 'nobody imports an app'],
    ['apps/user/src/a.ts', `import { x } from '@wattle/redis/src/link.ts'`, 'from its index'],
    [
      'apps/user/src/a.ts',
      `import { x } from '../../billing/src/app.ts'`,
      'inside its own workspace',
    ],
    ['packages/redis/src/a.ts', `import {\n  x,\n} from '@wattle/testkit'`, 'for tests'],
    ['packages/redis/src/a.ts', `import fs from 'fs'`, 'write node:fs'],
    ['packages/redis/src/a.ts', `import pg from 'pg'`, 'not among the dependencies'],
  ])('%s with %s is refused', (file, source, reason) => {
    write(file, `${source}\n`)
    const [violation] = violations(root)
    expect(violation).toMatchObject({ file })
    expect(violation?.reason).toContain(reason)
  })

  test('benchmarks are no workspace: they import what they measure, and need no line in the table', () => {
    write('infra/bench/package.json', '{ "name": "@wattle/bench" }')
    write('infra/bench/suites/a.ts', `import { x } from '@wattle/redis'\nimport y from 'rival'\n`)
    expect(violations(root)).toEqual([])
  })

  test('a workspace without a line in the table is named', () => {
    write('packages/tenth/package.json', '{ "name": "@wattle/tenth" }')
    expect(violations(root)).toMatchObject([{ file: 'packages/tenth' }])
  })
})
