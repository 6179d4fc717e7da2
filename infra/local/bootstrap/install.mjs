// Installs the packages of package-lock.json with npm, visibly, and never twice at once.
import { spawn } from 'node:child_process'
import { appendFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, join, sep } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { isInstalled, markInstallBegun, markInstallDone, wasInterrupted } from './installed.mjs'
import { acquireLock } from './lock.mjs'
import { createProgress } from './progress.mjs'

/** An install that failed, with one sentence for the person in front of it. */
export class InstallError extends Error {}

const npmOptions = [
  '--prefer-offline',
  '--loglevel=info',
  '--no-progress',
  '--no-audit',
  '--no-fund',
  '--include=dev',
  '--include=optional',
  '--ignore-scripts=false',
  '--fetch-retries=3',
  '--fetch-retry-mintimeout=500',
  '--fetch-retry-maxtimeout=4000',
]

/**
 * Makes node_modules complete. Waits for another install of this folder instead of starting a second one.
 * Aborting the signal ends npm and everything that npm started.
 *
 * @param {{ root: string, out: NodeJS.WriteStream, signal: AbortSignal }} options
 * @throws {InstallError}
 */
export async function install({ root, out, signal }) {
  const lock = await takeTurn({ root, out, signal })
  if (!lock) return
  const log = join(root, '.wattle', 'logs', 'install.log')
  mkdirSync(join(root, '.wattle', 'logs'), { recursive: true })
  writeFileSync(log, '')
  const progress = createProgress({ root, out })
  try {
    const interrupted = wasInterrupted(root)
    markInstallBegun(root)
    let result = await runNpm(['ci', ...npmOptions])
    if (result.code !== 0 && /npm error code EUSAGE/.test(result.errors)) {
      progress.note(lockWarning(result.errors))
      // `npm ci` clears what an interrupted install left; `npm install` would build on it.
      if (interrupted) rmSync(join(root, 'node_modules'), { recursive: true, force: true })
      result = await runNpm(['install', '--no-save', ...npmOptions])
    }
    signal.throwIfAborted()
    if (result.code !== 0) throw new InstallError(sentenceFor(result.errors, log))
    markInstallDone(root)
    progress.done()
  } finally {
    progress.stop()
    lock.release()
  }

  /** @param {string[]} args */
  async function runNpm(args) {
    signal.throwIfAborted()
    // Its own process group: npm starts further processes, and all of them end together.
    const npm = spawn('npm', args, {
      cwd: root,
      env: installEnvironment(root),
      stdio: ['ignore', 'ignore', 'pipe'],
      detached: true,
    })
    if (npm.pid !== undefined) lock?.addHolder(npm.pid)
    let errors = ''
    npm.stderr.setEncoding('utf8').on('data', (/** @type {string} */ text) => {
      appendFileSync(log, text)
      progress.read(text)
      errors +=
        text
          .split('\n')
          .filter((line) => line.startsWith('npm error'))
          .join('\n') + '\n'
    })
    /** @type {Promise<number>} */
    const exited = new Promise((resolve, reject) => {
      npm.on('error', reject)
      npm.on('close', (code) => resolve(code ?? 1))
    })
    const end = () => void endGroup(npm.pid, exited)
    signal.addEventListener('abort', end, { once: true })
    try {
      return { code: await exited, errors }
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'ENOENT') throw error
      throw new InstallError(
        'npm is not on the PATH; install it together with Node from https://nodejs.org.',
      )
    } finally {
      signal.removeEventListener('abort', end)
    }
  }
}

/** @param {{ root: string, out: NodeJS.WriteStream, signal: AbortSignal }} options */
async function takeTurn({ root, out, signal }) {
  let told = false
  for (;;) {
    const lock = await acquireLock(join(root, '.wattle', 'install.lock'), { note: 'install' })
    if (lock.acquired) {
      if (!told || !isInstalled(root)) return lock
      lock.release()
      return undefined
    }
    if (!told)
      out.write(`Another install is running (process ${lock.holder.pid}); waiting for it.\n`)
    told = true
    await delay(300, undefined, { signal })
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
  await Promise.race([exited, delay(2_000)])
  send('SIGKILL')
}

/**
 * npm must run on a Node outside node_modules, because it replaces the one inside.
 *
 * @param {string} root
 */
function installEnvironment(root) {
  const env = { ...process.env }
  const inside = join(root, 'node_modules') + sep
  env.PATH = (env.PATH ?? '')
    .split(delimiter)
    .filter((entry) => !`${entry}${sep}`.startsWith(inside))
    .join(delimiter)
  return env
}

/** @param {string} errors */
function lockWarning(errors) {
  const missing = [...errors.matchAll(/Missing: (\S+?)@? from lock file/g)].map((match) => match[1])
  const [first, ...others] = [...new Set(missing)]
  const named = first
    ? `${first}${others.length ? ` and ${others.length} more` : ''}`
    : 'some packages'
  return `package-lock.json does not fit the package.json files (${named}); using "npm install" instead of "npm ci".`
}

/** @param {string} errors @param {string} log */
function sentenceFor(errors, log) {
  if (
    /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ENETUNREACH|ETIMEDOUT|EHOSTUNREACH|ENOTCACHED/.test(
      errors,
    )
  ) {
    return `The packages cannot be fetched, because the npm registry cannot be reached: check the network (or "npm config get registry" and the proxy) and run the command again. Details: ${log}`
  }
  if (/ENOSPC/.test(errors)) return 'The disk is full: free about 1.5 GB and run the command again.'
  if (/EACCES|EPERM|EROFS/.test(errors)) {
    return `npm may not write to this folder: check who owns it, and run the command again. Details: ${log}`
  }
  const first = errors.split('\n').find((line) => /^npm error (?!code|errno|syscall)\S/.test(line))
  return `npm could not install the packages (${first?.slice(10) ?? 'without saying why'}). Details: ${log}`
}
