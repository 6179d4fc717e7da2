import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { randomFrom } from '@wattle/testkit'
import { violationsIn, type Report } from './checker.ts'
import type { Fault } from './fault.ts'
import { faultNamed, faults, faultsFor, isThere } from './faults.ts'
import { features, featuresNamed, type Feature } from './features/names.ts'
import { formatActivity, formatBounds, formatNinesTable, formatViolations } from './format.ts'
import { runSuite } from './suite.ts'

const help = `npm run chaos -- cache [options]

Opens the cache in several processes on a Sentinel group and a PostgreSQL of their own, lets them read, write and
invalidate at random, and breaks one thing after another. A checker that knows every commit and every read holds
what they saw against the guarantee.

  --minutes N     goes on with further seeds for so long (5)
  --seed N        the first seed; the next run has the next one
  --fault NAME    only this fault, may be given several times
  --processes N   that read and write (3)
  --feature NAME  switched on in all processes, may be given several times; or all

Features: ${features.join(', ')}.
Faults: ${faults.map(({ name }) => name).join('; ')}.`

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '5' },
    seed: { type: 'string', default: String(randomInt(1_000_000)) },
    fault: { type: 'string', multiple: true },
    processes: { type: 'string', default: '3' },
    feature: { type: 'string', multiple: true, default: [] },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) {
  console.log(help)
  process.exit(0)
}
const [minutes, firstSeed, processes] = [values.minutes, values.seed, values.processes].map(Number)
if (
  minutes === undefined ||
  !(minutes > 0) ||
  firstSeed === undefined ||
  !Number.isSafeInteger(firstSeed) ||
  processes === undefined ||
  !Number.isSafeInteger(processes) ||
  processes < 2
) {
  console.error('--minutes takes a number, --seed a whole number, --processes one from 2 on.')
  process.exit(2)
}
let chosen: readonly Fault[]
let on: readonly Feature[]
try {
  on = featuresNamed(values.feature)
  chosen = values.fault?.map(faultNamed) ?? faultsFor(on)
  const wrong = chosen.find(({ needs }) => !isThere(needs, on))
  if (wrong) throw new Error(`The fault "${wrong.name}" needs --feature write-behind.`)
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exit(2)
}

const deadline = performance.now() + minutes * 60_000
const reports: Report[] = []
let broken = 0
console.log(formatBounds(chosen))
for (let seed = firstSeed; reports.length === 0 || performance.now() < deadline; seed++) {
  const started = performance.now()
  const report = await runSuite({
    seed,
    processes,
    writesPerSecond: 30,
    features: on,
    calmMs: 2_000,
    // The first calm is what the load of the others is compared with.
    faults: [faultNamed('calm'), ...shuffled(chosen, seed)],
    while: () => performance.now() < deadline,
    say: (line) => console.log(`  ${line}`),
  })
  reports.push(report)
  const violations = violationsIn(report)
  broken += violations
  const seconds = ((performance.now() - started) / 1_000).toFixed(0)
  console.log(
    `seed ${seed}: ${report.reads} reads, ${report.writes} writes, ${report.phases.length} faults in ${seconds} s: ` +
      (violations === 0 ? 'every promise held' : `${violations} violations`),
  )
  for (const line of formatViolations(report)) console.log(line)
}
console.log(formatNinesTable(reports))
for (const line of formatActivity(reports)) console.log(line)
const total = (of: (report: Report) => number) => reports.reduce((sum, one) => sum + of(one), 0)
console.log(
  `${total(({ reads }) => reads)} reads and ${total(({ writes }) => writes)} writes over ${reports.length} seeds from ` +
    `${firstSeed}: ${broken === 0 ? 'every promise held.' : `${broken} violations.`}`,
)
process.exit(broken === 0 ? 0 : 1)

function shuffled(items: readonly Fault[], seed: number): Fault[] {
  const random = randomFrom(seed)
  const left = items.filter(({ name }) => name !== 'calm')
  return Array.from({ length: left.length }, () => left.splice(random.below(left.length), 1)).flat()
}
