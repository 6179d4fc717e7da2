/** One process of a run: reads, writes and invalidates at random until it is told to stop, and reports what it saw. */
import { setImmediate as turn, setTimeout as wait } from 'node:timers/promises'
import { randomFrom } from '@wattle/testkit'
import { openFeatures } from './features/open.ts'
import type { FromWorker, ToWorker, WorkerSettings } from './messages.ts'
import { clockMs } from './clock.ts'
import { createPlan, rowsOfKind, type Value } from './plan.ts'
import { createRecorder } from './recorder.ts'
import { isRowKept, openSource } from './source.ts'
import { openSubject, type Seen } from './subject.ts'
import { createWrites } from './writes.ts'

const settings = JSON.parse(process.env['SETTINGS'] ?? '') as WorkerSettings
const random = randomFrom(settings.seed)
const plan = createPlan(settings.features)
const { rowCount, addedRows, kindOf } = plan
const source = openSource(settings.databaseUrl)
const recorder = createRecorder(settings.process)
const broken: { process: number; what: string; atMs: number }[] = []
let skewMs = settings.skewMs
let loads = 0
let writes = 0
let going = false
let dieAfterCommit = false
let dieInPut = false

const say = (message: FromWorker) => void process.send?.(message)
const complain = (what: string) =>
  void broken.push({ process: settings.process, what, atMs: clockMs() })
process.on('unhandledRejection', (reason) => complain(`unhandled rejection: ${String(reason)}`))
process.on('disconnect', () => process.exit())

const subject = await openSubject({
  settings,
  plan,
  query: source.query,
  wallNow: () => Date.now() + skewMs,
  async load(row) {
    loads++
    const value = await source.load(row)
    // A slow loader is what lets a write overtake it.
    if (random.chance(0.3)) await wait(random.below(40))
    return value
  },
})

/** A lock outlived now and then, so that it has to be extended. */
const pause = () => wait(random.chance(0.1) ? 350 : random.below(30))
const features = openFeatures({ settings, plan, subject, query: source.query, pause, died: dying })
const writeRow = createWrites({
  settings,
  plan,
  subject,
  source,
  recorder,
  features,
  committed,
  random,
})

const anyRow = () => random.below(rowCount)

/**
 * Every other row is seldom written: what is lost of those is not soon covered by the next write. What features add is
 * written more often than the rest.
 */
function rowToWrite(): number {
  const row = random.chance(0.5) ? anyRow() : rowCount - 1 - random.below(addedRows || rowCount)
  return row % 2 === 1 && random.chance(0.85) ? row - 1 : row
}

async function read(row: number): Promise<void> {
  await recorder.read('read', [row], 0, async () => [await subject.read(row)])
}

async function get(row: number): Promise<void> {
  await recorder.read('get', [row], 0, async () => [await subject.get(row)])
}

async function readMany(): Promise<void> {
  const first = Math.floor(anyRow() / rowsOfKind) * rowsOfKind
  const rows = Array.from({ length: rowsOfKind }, (_, at) => first + at).filter(() =>
    random.chance(0.6),
  )
  if (rows.length === 0) return
  await recorder.read('getMany', rows, 0, () => subject.getMany(rows))
}

async function readAfter(row: number, version: number, token: string): Promise<void> {
  await recorder.read('readAfter', [row], version, async () => [
    await subject.readAfter(row, token),
  ])
}

const kill = () => process.kill(process.pid, 'SIGKILL')
/** Where a process is to die after a commit, here. */
function dying(): void {
  if (dieAfterCommit) kill()
}
function committed(value: Value): Value {
  writes++
  dying()
  return value
}

/** Writes, and reads its own write. */
async function write(row: number): Promise<void> {
  // Anywhere from the lease to the answer.
  if (dieInPut && kindOf(row).way === 'behind') setTimeout(kill, 12 * random.next())
  const written = await writeRow(row)
  if (!written) return
  const { version, token } = written
  if (token !== undefined && ['token', 'behind'].includes(kindOf(row).way)) {
    say({ type: 'token', row, version, token })
  }
  await read(row)
}

/** What the source, or a feature, may refuse for a while. Everything else is a broken promise. */
function refused(cause: unknown): void {
  if (!isRowKept(cause) && !features.refused(cause)) complain(`a call rejected: ${String(cause)}`)
}

/** Repeats `act` with pauses, while the load is on. */
function lane(act: () => Promise<void>, pause: () => Promise<unknown>): void {
  void (async () => {
    for (;;) {
      if (going) await act().catch(refused)
      await pause()
    }
  })()
}

const burst = () =>
  Promise.all(
    Array.from({ length: 1 + random.below(24) }, () =>
      random.chance(0.5) ? read(anyRow()) : get(anyRow()),
    ),
  )
if (settings.auditor) {
  let next = 0
  lane(() => read(next++ % rowCount), turn)
} else {
  for (let n = 0; n < 4; n++) {
    lane(
      async () => void (await (random.chance(0.1) ? readMany() : burst())),
      () => wait(random.below(6)),
    )
  }
  const everyMs = 3_000 / settings.writesPerSecond
  for (let n = 0; n < 3; n++) {
    lane(
      () => write(rowToWrite()),
      () => wait(2 * everyMs * random.next()),
    )
  }
}

async function audit(): Promise<void> {
  const unknown: Seen = { version: 0, origin: 'unknown' }
  const look = (row: number) => subject.read(row).catch(() => unknown)
  const seen = await Promise.all(Array.from({ length: rowCount }, (_, row) => look(row)))
  say({
    type: 'audited',
    versions: seen.map(({ version }) => version),
    origins: seen.map(({ origin }) => origin),
  })
}

const flush = () =>
  say({
    type: 'batch',
    ...recorder.take(),
    ...features.take(),
    broken: broken.splice(0),
    loads,
    writes,
    synchronized: subject.synchronized(),
  })
const reporter = setInterval(flush, 200)

async function obey(message: ToWorker): Promise<void> {
  switch (message.type) {
    case 'go':
      going = true
      return
    case 'pause': {
      going = false
      while (!recorder.idle()) await wait(5)
      const reason = subject.gaveUp()
      if (reason !== undefined) complain(reason)
      flush()
      return say({ type: 'paused' })
    }
    case 'audit':
      return audit()
    case 'skew':
      skewMs = message.skewMs
      return
    case 'die after a commit':
      dieAfterCommit = true
      return
    case 'die in a put':
      dieInPut = true
      return
    case 'token':
      return readAfter(message.row, message.version, message.token).catch(refused)
    case 'close':
      clearInterval(reporter)
      await features.stop()
      await Promise.all([subject.close(), source.close()])
      recorder.close()
      process.exit()
  }
}
process.on('message', (message: ToWorker) => {
  obey(message).catch((cause) => complain(`${message.type}: ${String(cause)}`))
})
say({ type: 'ready' })
