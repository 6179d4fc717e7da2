// Who a process is, beyond its number: numbers are reused, so every record keeps the start time too.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** @typedef {{ pid: number, startedAt: string }} ProcessIdentity */

let bootId = ''

/**
 * When this process was started, as a text to compare for equality; undefined when there is no such process.
 * A zombie counts as gone.
 *
 * @param {number} pid
 * @returns {string | undefined}
 */
export function startTimeOf(pid) {
  if (process.platform === 'linux') {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
      // The second field is the command in brackets and may itself hold spaces and brackets.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      if (fields[0] === 'Z' || fields[0] === 'X') return undefined
      bootId ||= readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
      return `${bootId}/${fields[19]}`
    } catch {
      return undefined
    }
  }
  try {
    const out = execFileSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim()
    return out === '' || out.startsWith('Z') ? undefined : out.replace(/^\S+\s+/, '')
  } catch {
    return undefined
  }
}

/**
 * @param {number} pid
 * @returns {ProcessIdentity}
 */
export function identify(pid) {
  return { pid, startedAt: startTimeOf(pid) ?? 'unknown' }
}

/**
 * Whether exactly this process, not another with its number, is still running.
 *
 * @param {ProcessIdentity} identity
 */
export function isAlive(identity) {
  return startTimeOf(identity.pid) === identity.startedAt
}
