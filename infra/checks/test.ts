import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

/** What `npm test` runs: the checks, then every test, then one line with the count of all. */

const root = fileURLToPath(new URL('../..', import.meta.url))
const help = `npm test [-- options] [-- file …]

Runs format, lint, import-direction and lockfile checks, types, then unit, integration and end-to-end tests.

  --checks-only    the checks without the tests
  --project NAME   the tests of one workspace only (may be repeated)
  file …           only test files whose path contains one of these words`

const { values: options, positionals: files } = parseArgs({
  allowPositionals: true,
  options: {
    'checks-only': { type: 'boolean', default: false },
    project: { type: 'string', multiple: true, default: [] },
    help: { type: 'boolean', default: false },
  },
})
if (options.help) {
  console.log(help)
  process.exit(0)
}

const checks: readonly (readonly [name: string, command: string, ...args: string[]])[] = [
  ['format', 'oxfmt', '--check'],
  ['lint', 'oxlint', '--type-aware'],
  ['import direction', 'node', 'infra/checks/boundaries.ts'],
  ['lockfile', 'node', 'infra/checks/lockfile.ts'],
  ['types', 'nx', 'run-many', '-t', 'typecheck', '--outputStyle=static'],
]

const counts = { passed: 0, failed: 0, skipped: 0 }
for (const [name, command, ...args] of checks) {
  const started = performance.now()
  const { code, output } = await run(command, args, 'collect')
  const seconds = ((performance.now() - started) / 1_000).toFixed(1)
  console.log(`${code === 0 ? '✓' : '✗'} ${name} (${seconds} s)`)
  if (code !== 0) {
    counts.failed++
    console.log(output)
  }
}
if (!options['checks-only']) {
  await runTests('together')
  await runTests('alone')
}

const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : ''
console.log(`${counts.passed} passed, ${counts.failed} failed${skipped}`)
process.exit(counts.failed > 0 ? 1 : 0)

/** See `vitest.config.ts` for what the parts are. */
async function runTests(part: 'together' | 'alone'): Promise<void> {
  const report = `${root}.wattle/test/${part}.json`
  mkdirSync(`${root}.wattle/test`, { recursive: true })
  rmSync(report, { force: true })
  const { code } = await run(
    'vitest',
    [
      'run',
      '--config=infra/checks/vitest.config.ts',
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${report}`,
      ...options.project.map((name) => `--project=${name}`),
      ...files,
    ],
    'show',
    { WATTLE_TESTS: part },
  )
  const before = { ...counts }
  try {
    const { numPassedTests, numPendingTests, numTodoTests, testResults } = JSON.parse(
      readFileSync(report, 'utf8'),
    ) as VitestReport
    counts.passed += numPassedTests
    counts.skipped += numPendingTests + numTodoTests
    for (const { status, assertionResults } of testResults) {
      const failed = assertionResults.filter((one) => one.status === 'failed').length
      counts.failed += failed > 0 ? failed : status === 'failed' ? 1 : 0
    }
  } catch (cause) {
    console.error('vitest left no report:', cause)
  }
  // An error outside any test, or no report at all, must not pass for success.
  if (code !== 0 && counts.failed === before.failed) counts.failed++
}

type VitestReport = {
  numPassedTests: number
  numPendingTests: number
  numTodoTests: number
  testResults: { status: string; assertionResults: { status: string }[] }[]
}

async function run(
  command: string,
  args: string[],
  output: 'show' | 'collect',
  env: Record<string, string> = {},
) {
  const child = spawn(command, args, {
    cwd: root,
    env: {
      ...process.env,
      ...env,
      PATH: `${root}node_modules/.bin:${process.env.PATH}`,
      NX_DAEMON: 'false',
      TESTCONTAINERS_RYUK_DISABLED: process.env.TESTCONTAINERS_RYUK_DISABLED ?? 'true',
    },
    stdio: [
      'ignore',
      output === 'show' ? 'inherit' : 'pipe',
      output === 'show' ? 'inherit' : 'pipe',
    ],
  })
  let collected = ''
  child.stdout?.on('data', (chunk) => (collected += chunk))
  child.stderr?.on('data', (chunk) => (collected += chunk))
  const code = await new Promise<number>((done) => {
    child.once('error', (cause) => {
      collected += `${command} cannot be started: ${cause.message}`
      done(1)
    })
    child.once('close', (code) => done(code ?? 1))
  })
  return { code, output: collected }
}
