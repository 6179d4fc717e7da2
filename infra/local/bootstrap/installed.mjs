// Is node_modules what package-lock.json asks for? Answered in milliseconds, since every command asks it first.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * @typedef {{ version?: string, link?: boolean, optional?: boolean, os?: string[], cpu?: string[] }} LockedPackage
 * @typedef {{ packages: Record<string, LockedPackage> }} LockFile
 */

/** @param {string} root */
const stampPath = (root) => join(root, 'node_modules', '.wattle-install.json')

/** The Node that the repo pins, as a path. @param {string} root */
export const pinnedNode = (root) => join(root, 'node_modules', 'node', 'bin', 'node')

/**
 * Whether node_modules is complete for the present lock file and this platform. A stamp answers at once; without a
 * fitting one (somebody ran npm by hand) the lock is compared with npm's own list of what it installed.
 *
 * @param {string} root
 * @returns {boolean}
 */
export function isInstalled(root) {
  const lock = readLock(root)
  if (!hasPinnedNode(root, lock)) return false
  const wanted = stampFor(root)
  if (readText(stampPath(root)) === wanted) return true
  if (existsSync(interruptedPath(root)) || !matchesLock(root, lock)) return false
  writeFileSync(stampPath(root), wanted)
  return true
}

/** Called before an install begins; what it leaves behind when it is killed is not trusted. @param {string} root */
export function markInstallBegun(root) {
  rmSync(stampPath(root), { force: true })
  writeFileSync(interruptedPath(root), '')
}

/** @param {string} root */
export function markInstallDone(root) {
  rmSync(interruptedPath(root), { force: true })
  writeFileSync(stampPath(root), stampFor(root))
}

/** @param {string} root */
export const wasInterrupted = (root) => existsSync(interruptedPath(root))

/** @param {string} root */
const interruptedPath = (root) => join(root, '.wattle', 'install-unfinished')

/** How many packages an install for this platform fetches. @param {string} root */
export function expectedPackages(root) {
  const { packages } = readLock(root)
  return Object.entries(packages).filter(([path, entry]) => isExternal(path, entry) && fits(entry))
    .length
}

/** @param {string} root */
function stampFor(root) {
  const lock = readText(join(root, 'package-lock.json')) ?? ''
  const listed = statSync(join(root, 'node_modules', '.package-lock.json'), {
    throwIfNoEntry: false,
  })
  return JSON.stringify({
    lock: createHash('sha256').update(lock).digest('hex'),
    platform: `${process.platform}-${process.arch}`,
    listed: listed && `${listed.size} ${listed.mtimeMs}`,
  })
}

/** @param {string} root @param {LockFile} lock */
function hasPinnedNode(root, lock) {
  const wanted = lock.packages['node_modules/node']?.version
  // infra/bench has a lock file of its own and runs on the Node of the repo.
  if (wanted === undefined) return true
  const binary = statSync(pinnedNode(root), { throwIfNoEntry: false })
  const present = readText(join(root, 'node_modules', 'node', 'package.json'))
  return (
    binary !== undefined &&
    binary.size > 1_000_000 &&
    (binary.mode & 0o100) !== 0 &&
    present !== undefined &&
    JSON.parse(present).version === wanted
  )
}

/** @param {string} root @param {LockFile} lock */
function matchesLock(root, lock) {
  const listed = readText(join(root, 'node_modules', '.package-lock.json'))
  if (listed === undefined) return false
  /** @type {LockFile} */
  const installed = JSON.parse(listed)
  return Object.entries(lock.packages).every(([path, entry]) => {
    if (entry.link) return existsSync(join(root, path))
    if (!isExternal(path, entry) || !fits(entry)) return true
    const present = installed.packages[path]
    return present ? present.version === entry.version : entry.optional === true
  })
}

/**
 * @param {string} root
 * @returns {LockFile}
 */
function readLock(root) {
  return JSON.parse(readText(join(root, 'package-lock.json')) ?? '{"packages":{}}')
}

/** @param {string} path @param {{ link?: boolean }} entry */
const isExternal = (path, entry) => path.includes('node_modules/') && !entry.link

/** @param {{ os?: string[], cpu?: string[] }} entry */
const fits = (entry) => allows(entry.os, process.platform) && allows(entry.cpu, process.arch)

/** npm's rule: a list of names, or of excluded names with `!`. @param {string[] | undefined} list @param {string} name */
const allows = (list, name) =>
  !list ||
  (!list.includes(`!${name}`) && (list.includes(name) || list.every((n) => n.startsWith('!'))))

/** @param {string} path */
function readText(path) {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
