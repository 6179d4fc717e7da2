import { readdirSync, existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** One vitest project for each workspace folder that has tests. */
const projects = ['packages', 'apps', 'infra'].flatMap((group) =>
  readdirSync(`${root}/${group}`)
    .filter((name) => existsSync(`${root}/${group}/${name}/test`))
    .map((name) => ({
      extends: true as const,
      test: { name, root: `${root}/${group}/${name}`, include: ['test/**/*.test.ts'] },
    })),
)

export default defineConfig({
  root,
  test: {
    globalSetup: [`${root}packages/testkit/src/vitest-setup.ts`],
    projects,
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 20_000,
    hookTimeout: 60_000,
    teardownTimeout: 20_000,
    passWithNoTests: true,
  },
})
