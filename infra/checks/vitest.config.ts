import { readdirSync, existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const root = fileURLToPath(new URL('../..', import.meta.url))

/**
 * Tests named `*.alone.test.ts` promise bounds in time under load that they make themselves; they want the machine for
 * themselves. `npm test` runs them after the others, one file at a time. Unset: all.
 */
const part = process.env['WATTLE_TESTS']
const include = part === 'alone' ? ['test/**/*.alone.test.ts'] : ['test/**/*.test.ts']
const exclude = part === 'together' ? ['**/*.alone.test.ts'] : []

/** One vitest project for each workspace folder that has tests. */
const projects = ['packages', 'apps', 'infra'].flatMap((group) =>
  readdirSync(`${root}/${group}`)
    .filter((name) => existsSync(`${root}/${group}/${name}/test`))
    .map((name) => ({
      extends: true as const,
      test: { name, root: `${root}/${group}/${name}`, include, exclude },
    })),
)

export default defineConfig({
  root,
  test: {
    globalSetup: [`${root}packages/testkit/src/vitest-setup.ts`],
    projects,
    pool: 'forks',
    maxWorkers: part === 'alone' ? 1 : 2,
    testTimeout: 20_000,
    hookTimeout: 60_000,
    teardownTimeout: 20_000,
    passWithNoTests: true,
  },
})
