// Installs what is missing, then runs the command on the Node that the repo pins.
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { install, InstallError } from './install.mjs'
import { isInstalled, pinnedNode } from './installed.mjs'
import { usage } from './usage.mjs'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const signals = /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])

/** @type {Record<string, { script: string, args: string[] }>} */
const commands = {
  start: { script: 'infra/local/src/main.ts', args: ['start'] },
  stop: { script: 'infra/local/src/main.ts', args: ['stop'] },
  dev: { script: 'infra/local/src/main.ts', args: ['dev'] },
  doctor: { script: 'infra/local/src/main.ts', args: ['doctor'] },
  test: { script: 'infra/checks/test.ts', args: [] },
  chaos: { script: 'infra/local/chaos/main.ts', args: [] },
  bench: { script: 'infra/bench/main.ts', args: [] },
  pack: { script: 'infra/checks/pack.ts', args: [] },
}

/**
 * Runs one command line to its end; the exit code of the command.
 *
 * @param {string[]} argv the name of the command and its arguments
 * @returns {Promise<number>}
 */
export async function run([name = '', ...args]) {
  const command = commands[name]
  if (!command) {
    process.stdout.write(usage.all)
    return name === '' || name === '--help' || name === 'help'
      ? 0
      : fail(`There is no command "${name}".`, 2)
  }
  const text = usage[name]
  if (text && args.some((arg) => arg === '--help' || arg === '-h')) {
    process.stdout.write(text)
    return 0
  }
  if (process.platform === 'win32') {
    return fail(
      'Wattle does not run on native Windows. Run the same command inside WSL: https://aka.ms/wsl',
    )
  }
  // npm keeps options without a leading `--` for itself, and they would be lost without a word.
  for (const lost of name === 'bench' ? ['quick', 'rounds', 'group', 'trace'] : ['fresh', 'seed']) {
    if (process.env[`npm_config_${lost}`] !== undefined && !args.includes(`--${lost}`)) {
      return fail(`npm took --${lost} for itself. Write: npm run ${name} -- --${lost}`, 2)
    }
  }
  const installed = await ensureInstalled()
  return installed === true ? handOver(command, args) : installed
}

/** @returns {Promise<true | number>} */
async function ensureInstalled() {
  if (isInstalled(root)) return true
  const abort = new AbortController()
  let received = /** @type {NodeJS.Signals | undefined} */ (undefined)
  const stop = (/** @type {NodeJS.Signals} */ signal) => {
    received ??= signal
    abort.abort()
  }
  for (const signal of signals) process.on(signal, stop)
  try {
    mkdirSync(join(root, '.wattle'), { recursive: true })
    await install({ root, out: process.stdout, signal: abort.signal })
    return true
  } catch (error) {
    if (received)
      return fail('The install was interrupted; the next run starts it anew.', codeOf(received))
    if (error instanceof InstallError) return fail(error.message)
    throw error
  } finally {
    for (const signal of signals) process.removeListener(signal, stop)
  }
}

/**
 * Runs the command in place of this process, as far as that is possible: same terminal, signals and exit code.
 *
 * @param {{ script: string, args: string[] }} command
 * @param {string[]} args
 * @returns {Promise<number>}
 */
function handOver(command, args) {
  const script = join(root, command.script)
  if (!existsSync(script))
    return Promise.resolve(fail(`${command.script} is missing in this copy of the repo.`))
  const bin = join(root, 'node_modules', '.bin')
  const child = spawn(pinnedNode(root), [script, ...command.args, ...args], {
    stdio: 'inherit',
    env: {
      NODE_COMPILE_CACHE: join(root, '.wattle', 'compile-cache'),
      ...process.env,
      PATH: `${bin}:${process.env.PATH ?? ''}`,
    },
  })
  // The terminal sends Ctrl-C to the child as well, and npm sends it here a second time: the child counts them as one.
  for (const signal of signals) process.on(signal, () => child.kill(signal))
  // npm and its shell do not pass every signal on: that they are gone is the sign that the command was ended.
  const parent = process.ppid
  const watch = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(watch)
    child.kill('SIGTERM')
  }, 500)
  if (process.env.npm_lifecycle_event === undefined) clearInterval(watch)
  return new Promise((resolve) => {
    child.on('error', (error) => {
      resolve(
        fail(
          `The Node that came with the packages does not run on this machine (${error.message}). Delete node_modules and try again.`,
        ),
      )
    })
    child.on('exit', (code, signal) => resolve(code ?? codeOf(signal)))
  })
}

/** @param {NodeJS.Signals | null} signal */
const codeOf = (signal) => 128 + (signal ? constants.signals[signal] : 0)

/** @param {string} sentence */
function fail(sentence, code = 1) {
  process.stderr.write(`${sentence}\n`)
  return code
}
