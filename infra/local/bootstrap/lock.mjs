// A lock file held by processes. It needs no clean-up: a lock whose holders are gone (kill -9, power cut, a
// process number given to someone else) is taken over.
import { randomUUID } from 'node:crypto'
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { identify, isAlive } from './processes.mjs'

/**
 * @typedef {import('./processes.mjs').ProcessIdentity} ProcessIdentity
 * @typedef {{ token: string, holders: ProcessIdentity[], since: string, note: string }} LockContent
 * @typedef {{ acquired: true, addHolder: (pid: number) => void, release: () => void }} HeldLock
 * @typedef {{ acquired: false, holder: ProcessIdentity, since: string, note: string }} RefusedLock
 */

/** Two take-overs of one dead lock are both visible after this time, and only the later one stands. */
const settleMs = 60

/**
 * Takes the lock for this process, or says who holds it. Never waits for a living holder.
 *
 * @param {string} path
 * @param {{ note?: string }} [options] the note is shown to those who are refused
 * @returns {Promise<HeldLock | RefusedLock>}
 */
export async function acquireLock(path, { note = '' } = {}) {
  /** @type {LockContent} */
  const own = {
    token: randomUUID(),
    holders: [identify(process.pid)],
    since: new Date().toISOString(),
    note,
  }
  mkdirSync(dirname(path), { recursive: true })
  const draft = `${path}.${own.token}`
  const write = () => writeFileSync(draft, JSON.stringify(own), { mode: 0o600 })
  try {
    for (;;) {
      const present = readLock(path)
      const holder = present?.holders.find(isAlive)
      if (present && holder) {
        return { acquired: false, holder, since: present.since, note: present.note }
      }
      write()
      if (claim(draft, path, present !== undefined)) {
        if (present !== undefined) await delay(settleMs)
        if (readLock(path)?.token === own.token) break
      }
    }
  } finally {
    rmSync(draft, { force: true })
  }
  return {
    acquired: true,
    addHolder(pid) {
      own.holders.push(identify(pid))
      write()
      renameSync(draft, path)
    },
    release() {
      if (readLock(path)?.token === own.token) rmSync(path, { force: true })
    },
  }
}

/**
 * The content of the lock file; undefined when there is none, and a lock without holders when it is unreadable.
 *
 * @param {string} path
 * @returns {LockContent | undefined}
 */
function readLock(path) {
  let text
  try {
    text = readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
  try {
    const content = JSON.parse(text)
    if (Array.isArray(content.holders)) return content
  } catch {
    // Falls through: a file cut short belongs to nobody.
  }
  return { token: '', holders: [], since: '', note: '' }
}

/**
 * Who holds the lock now; undefined when nobody does.
 *
 * @param {string} path
 * @returns {ProcessIdentity | undefined}
 */
export function lockHolder(path) {
  return readLock(path)?.holders.find(isAlive)
}

/**
 * @param {string} draft
 * @param {string} path
 * @param {boolean} takeOver
 */
function claim(draft, path, takeOver) {
  try {
    if (takeOver) renameSync(draft, path)
    else linkSync(draft, path)
    return true
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'EEXIST') return false
    throw error
  }
}
