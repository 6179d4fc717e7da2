import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { randomInt } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { runMoney } from './money.ts'

if (process.argv[2] === 'cache') await runCache(process.argv.slice(3))

const help = `npm run chaos -- money [options]

Starts all services and both Redis groups beside whatever runs, lets clients pay bills while services and masters are
killed and frozen at random, and then holds the books of both sides against each other.

  --payments N   payments that the clients make together (5000)
  --clients N    clients at once (50)
  --seed N       repeats the choices of an earlier run

npm run chaos -- cache --help   faults against the cache and its coherence`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    payments: { type: 'string', default: '5000' },
    clients: { type: 'string', default: '50' },
    seed: { type: 'string', default: String(randomInt(1_000_000)) },
    help: { type: 'boolean', default: false },
  },
})
const [payments, clients, seed] = [values.payments, values.clients, values.seed].map(Number)
const isNumber = (value: number | undefined): value is number =>
  value !== undefined && Number.isSafeInteger(value) && value >= 0

if (values.help || positionals.length !== 1 || positionals[0] !== 'money') {
  console.log(help)
  process.exit(values.help ? 0 : 2)
}
if (!isNumber(payments) || !isNumber(clients) || !isNumber(seed) || payments * clients === 0) {
  console.error('--payments, --clients and --seed take whole numbers; the first two at least 1.')
  process.exit(2)
}

console.log(`money: ${payments} payments, ${clients} clients, seed ${seed}`)
const report = await runMoney({ payments, clients, seed, say: (line) => console.log(line) })
console.log(JSON.stringify(report, undefined, 2))
console.log(
  report.violations.length === 0
    ? 'Every promise held.'
    : `${report.violations.length} promises did not hold (seed ${seed}).`,
)
process.exit(report.violations.length === 0 ? 0 : 1)

/** The suite of the cache lives with the cache: a process of its own runs it, and this one ends with it. */
async function runCache(args: string[]): Promise<never> {
  const file = fileURLToPath(
    new URL('../../../packages/cache/test/coherence/main.ts', import.meta.url),
  )
  const child = spawn(process.execPath, [file, ...args], { stdio: 'inherit' })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => child.kill(signal))
  }
  const [code] = (await once(child, 'exit')) as [number | null]
  process.exit(code ?? 1)
}
