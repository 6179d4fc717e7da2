import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'

/**
 * Ends every process that this one started, directly or through another, and that still runs: asks, waits `withinMs`,
 * then kills. The last step of a stop: programs such as initdb or a download have no other end.
 */
export async function endDescendants(withinMs: number): Promise<void> {
  const deadline = Date.now() + withinMs
  let asked = new Set<number>()
  for (;;) {
    const left = descendantsOf(process.pid)
    if (left.length === 0) return
    const isLate = Date.now() > deadline
    for (const pid of left) {
      if (isLate) send(pid, 'SIGKILL')
      else if (!asked.has(pid)) send(pid, 'SIGTERM')
    }
    asked = new Set([...asked, ...left])
    if (Date.now() > deadline + 2_000) return
    await delay(25)
  }
}

function descendantsOf(ancestor: number): number[] {
  const children = Map.groupBy(processes(), ({ parent }) => parent)
  const found: number[] = []
  const add = (parent: number) => {
    for (const { pid } of children.get(parent) ?? []) {
      found.push(pid)
      add(pid)
    }
  }
  add(ancestor)
  return found
}

/** Processes with their parents; zombies are gone already. */
function processes(): { pid: number; parent: number }[] {
  return process.platform === 'linux' ? processesOfProc() : processesOfPs()
}

function processesOfProc() {
  return readdirSync('/proc').flatMap((name) => {
    const pid = Number(name)
    if (!Number.isInteger(pid)) return []
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
      const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      return state === 'Z' ? [] : [{ pid, parent: Number(parent) }]
    } catch {
      return []
    }
  })
}

function processesOfPs() {
  // `ps` is a child of ours as well; it is gone when its list arrives.
  const out = execFileSync('ps', ['-axo', 'pid=,ppid=,stat=,comm='], { encoding: 'utf8' })
  return out.split('\n').flatMap((line) => {
    const [pid, parent, state, command] = line.trim().split(/\s+/)
    return !state || state.startsWith('Z') || command === 'ps'
      ? []
      : [{ pid: Number(pid), parent: Number(parent) }]
  })
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // Gone by now, or not ours to signal.
  }
}
