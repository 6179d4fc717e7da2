// Installs the packages of package-lock.json with npm, visibly, and never twice at once.
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { isInstalled, markInstallBegun, markInstallDone, wasInterrupted } from './installed.mjs'
import { acquireLock } from './lock.mjs'
import { runNpm } from './npm.mjs'
import { createProgress } from './progress.mjs'

/** An install that failed, with one sentence for the person in front of it. */
export class InstallError extends Error {}

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
  const logFile = join(root, '.wattle', 'logs', 'install.log')
  mkdirSync(join(root, '.wattle', 'logs'), { recursive: true })
  rmSync(logFile, { force: true })
  const progress = createProgress({ root, out })
  const npm = (/** @type {string[]} */ ...args) =>
    runNpm({ root, args, logFile, signal, onStart: lock.addHolder, onLine: progress.read })
  try {
    const interrupted = wasInterrupted(root)
    markInstallBegun(root)
    let result = await npm('ci')
    if (result.code !== 0 && result.errors.some((line) => line.startsWith('code EUSAGE'))) {
      progress.note(lockWarning(result.errors))
      // `npm ci` clears what an interrupted install left; `npm install` would build on it.
      if (interrupted) rmSync(join(root, 'node_modules'), { recursive: true, force: true })
      result = await npm('install', '--no-save')
    }
    signal.throwIfAborted()
    if (result.code !== 0) throw new InstallError(sentenceFor(result, logFile))
    markInstallDone(root)
    progress.done()
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'ENOENT') throw error
    throw new InstallError(
      'npm is not on the PATH; it comes with Node: get it from https://nodejs.org.',
    )
  } finally {
    progress.stop()
    lock.release()
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
    if (!told) {
      out.write(`Another install is running (process ${lock.holder.pid}); waiting for it.\n`)
    }
    told = true
    await delay(300, undefined, { signal })
  }
}

/** @param {string[]} errors */
function lockWarning(errors) {
  const missing = errors.flatMap(
    (line) => /^Missing: (\S+?)@? from lock file/.exec(line)?.[1] ?? [],
  )
  const [first, ...others] = new Set(missing)
  const named = `${first ?? 'some packages'}${others.length ? ` and ${others.length} more` : ''}`
  return `package-lock.json does not list ${named}; using "npm install" instead of "npm ci".`
}

/**
 * @param {{ errors: string[], unreachable: boolean }} result
 * @param {string} logFile
 */
function sentenceFor({ errors, unreachable }, logFile) {
  const text = errors.join('\n')
  const failed = (/** @type {RegExp} */ codes) => codes.test(text)
  if (
    unreachable ||
    failed(
      /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ENETUNREACH|EHOSTUNREACH|ETIMEDOUT|ENOTCACHED/,
    )
  ) {
    return `The packages cannot be fetched, because the npm registry cannot be reached: check the network, "npm config get registry" and the proxy, then run the command again. Details: ${logFile}`
  }
  if (failed(/ENOSPC/)) return 'The disk is full: free 1.5 GB and run the command again.'
  if (failed(/EACCES|EPERM|EROFS/)) {
    return `npm may not write to this folder: see who owns it, then run the command again. Details: ${logFile}`
  }
  const first = errors.find((line) => !/^(code|errno|syscall|path)\b|^\s*$/.test(line))
  return `npm could not install the packages (${first ?? 'it did not say why'}). Details: ${logFile}`
}
