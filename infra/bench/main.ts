import { globSync, mkdirSync, writeFileSync } from 'node:fs'
import { basename, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { describeMachine } from './harness/machine.ts'
import { installPeers } from './harness/peers.ts'
import { markdownOf, type Report } from './harness/report.ts'
import { optionTable, suiteOptions, type Suite, type SuiteOptions } from './harness/suite.ts'

/** What `npm run bench` runs: the named suites, or all, one after another; a report of each under .wattle/bench. */

const root = fileURLToPath(new URL('../..', import.meta.url))
const suites = globSync('*.ts', { cwd: fileURLToPath(new URL('suites', import.meta.url)) })
  .map((file) => basename(file, '.ts'))
  .toSorted()

const { names, options } = readCommandLine(process.argv.slice(2))
const problem = await installPeers(process.stdout)
if (problem !== undefined) fail(problem, 1)
let failed = false
for (const name of names) {
  try {
    await runSuite(name, options)
  } catch (error) {
    failed = true
    console.error(`The benchmark "${name}" failed:`, error)
  }
}
process.exit(failed ? 1 : 0)

function readCommandLine(args: string[]): { names: string[]; options: SuiteOptions } {
  try {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: optionTable,
    })
    const wrong = positionals.find((name) => !suites.includes(name))
    if (wrong !== undefined) {
      fail(`There is no benchmark "${wrong}"; there are: ${suites.join(', ')}.`, 2)
    }
    return { names: positionals.length > 0 ? positionals : suites, options: suiteOptions(values) }
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error), 2)
  }
}

async function runSuite(name: string, options: SuiteOptions): Promise<void> {
  const module = (await import(`./suites/${name}.ts`)) as Record<string, Suite | undefined>
  const suite = module[name]
  if (!suite) throw new Error(`infra/bench/suites/${name}.ts exports no function "${name}"`)
  const [startedAt, machine] = [new Date(), describeMachine()]
  const rows = await suite(options)
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[2K')
  const { rounds, quick, groups } = options
  if (rows.length === 0) {
    console.error(`The benchmark "${name}" has no group with ${groups.join(' or ')} in its name.`)
    return
  }
  const tookMs = Date.now() - startedAt.getTime()
  const report: Report = { name, startedAt, tookMs, rounds, quick, machine, rows }
  const markdown = markdownOf(report)
  const date = startedAt.toISOString().slice(0, 19).replaceAll(':', '-')
  const file = join(root, '.wattle', 'bench', `${name}-${date}`)
  mkdirSync(join(root, '.wattle', 'bench'), { recursive: true })
  writeFileSync(`${file}.md`, markdown)
  writeFileSync(`${file}.json`, `${JSON.stringify(report, undefined, 2)}\n`)
  console.log(markdown)
  console.log(`Written to ${relative(process.cwd(), `${file}.md`)} and .json`)
}

function fail(sentence: string, code: number): never {
  console.error(sentence)
  process.exit(code)
}
