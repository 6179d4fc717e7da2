// Runs npm as a group of processes that ends as one, and reads what it logs.
import { spawn } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { delimiter, join, sep } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'

const retries = 3

const options = [
  '--prefer-offline',
  '--loglevel=info',
  '--no-progress',
  '--no-audit',
  '--no-fund',
  '--include=dev',
  '--include=optional',
  '--ignore-scripts=false',
  `--fetch-retries=${retries}`,
  '--fetch-retry-mintimeout=500',
  '--fetch-retry-maxtimeout=4000',
]

/** npm asks again for each package, optional ones included, so without a network it would fail only after minutes. */
const hopelessPackages = 3

/**
 * Runs npm to its end. `unreachable` says that the registry answered nothing at all; npm was ended then.
 *
 * @param {{
 *   root: string,
 *   args: string[],
 *   logFile: string,
 *   signal: AbortSignal,
 *   onStart: (pid: number) => void,
 *   onLine: (line: string) => void,
 * }} run
 * @returns {Promise<{ code: number, errors: string[], unreachable: boolean }>}
 * @throws the error of `spawn`, ENOENT where there is no npm
 */
export async function runNpm({ root, args, logFile, signal, onStart, onLine }) {
  signal.throwIfAborted()
  const npm = spawn('npm', [...args, ...options], {
    cwd: root,
    env: environmentFor(root),
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
  })
  /** @type {Promise<number>} */
  const exited = new Promise((resolve, reject) => {
    npm.on('error', reject)
    npm.on('close', (code) => resolve(code ?? 1))
  })
  if (npm.pid !== undefined) onStart(npm.pid)
  const end = () => void endGroup(npm.pid, exited)
  signal.addEventListener('abort', end, { once: true })

  const log = createWriteStream(logFile, { flags: 'a' })
  /** @type {string[]} */
  const errors = []
  let hopeless = 0
  createInterface({ input: npm.stderr }).on('line', (line) => {
    log.write(`${line}\n`)
    onLine(line)
    if (line.startsWith('npm error')) errors.push(line.slice('npm error '.length))
    if (/^npm http fetch \S+ \d{3} /.test(line)) hopeless = 0
    if (
      line.startsWith('npm http fetch') &&
      line.includes(` attempt ${retries + 1} failed with `)
    ) {
      hopeless += 1
      if (hopeless === hopelessPackages) end()
    }
  })
  try {
    return { code: await exited, errors, unreachable: hopeless >= hopelessPackages }
  } finally {
    signal.removeEventListener('abort', end)
    log.end()
  }
}

/** @param {number | undefined} pid @param {Promise<unknown>} exited */
async function endGroup(pid, exited) {
  if (pid === undefined) return
  const send = (/** @type {NodeJS.Signals} */ name) => {
    try {
      process.kill(-pid, name)
    } catch {
      // The group is gone already.
    }
  }
  send('SIGTERM')
  await Promise.race([exited.catch(() => undefined), delay(2_000)])
  send('SIGKILL')
}

/**
 * npm must run on a Node outside node_modules, because it replaces the one inside.
 *
 * @param {string} root
 */
function environmentFor(root) {
  const inside = join(root, 'node_modules') + sep
  const path = (process.env.PATH ?? '')
    .split(delimiter)
    .filter((entry) => !`${entry}${sep}`.startsWith(inside))
    .join(delimiter)
  return { ...process.env, PATH: path }
}
