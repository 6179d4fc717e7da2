import { findPostgres, findRedisServer } from '@wattle/servers'
import { execFile } from 'node:child_process'
import { statfsSync } from 'node:fs'
import { availableParallelism, freemem } from 'node:os'
import { styleText } from 'node:util'
import { lockHolder } from '../bootstrap/lock.mjs'
import { externalDatabase } from './databases.ts'
import { openHome } from './home.ts'
import { planPorts, takenPorts } from './ports.ts'
import { listServices } from './service-list.ts'

/** What was found, and how bad it is: a `blocker` keeps the stack from starting. */
type Finding = { level: 'fine' | 'warning' | 'blocker'; text: string }

const mebibyte = 1024 * 1024
const neededMemory = 1_500 * mebibyte
const neededDisk = 1_000 * mebibyte
const leastDisk = 200 * mebibyte

/** `npm run doctor`: prints a line for each thing the stack needs. Resolves with 1 when something blocks it. */
export async function doctorCommand({ env }: { env: NodeJS.ProcessEnv }): Promise<number> {
  const marks = {
    fine: styleText('green', 'fine   ', { stream: process.stdout }),
    warning: styleText('yellow', 'warning', { stream: process.stdout }),
    blocker: styleText('red', 'blocks ', { stream: process.stdout }),
  }
  // Several checks need the same: what is missing is said once.
  const said = new Set<string>()
  let blockers = 0
  for (const check of [platform, npm, writeAccess, disk, memory, ports, redis, postgres]) {
    for (const { level, text } of await findings(check, env)) {
      if (said.has(text)) continue
      said.add(text)
      if (level === 'blocker') blockers += 1
      process.stdout.write(`${marks[level]}  ${text.replaceAll('\n', '\n         ')}\n`)
    }
  }
  const summary =
    blockers === 0 ? 'Nothing is in the way of npm start.' : `${blockers} in the way of npm start.`
  process.stdout.write(`\n${summary}\n`)
  return blockers === 0 ? 0 : 1
}

type Check = (env: NodeJS.ProcessEnv) => Finding[] | Promise<Finding[]>

async function findings(check: Check, env: NodeJS.ProcessEnv): Promise<Finding[]> {
  try {
    return await check(env)
  } catch (error) {
    return [{ level: 'blocker', text: error instanceof Error ? error.message : String(error) }]
  }
}

function platform(): Finding[] {
  const machine = `${process.platform} ${process.arch}, ${availableParallelism()} processors`
  const text = `Node ${process.version} of the repo runs on ${machine}`
  const isTested = process.platform === 'linux'
  return [{ level: 'fine', text: isTested ? text : `${text} (tested on Linux only)` }]
}

function npm(): Promise<Finding[]> {
  return new Promise((resolve) => {
    execFile('npm', ['--version'], { timeout: 10_000 }, (error, stdout) => {
      if (error)
        resolve([{ level: 'warning', text: 'npm is not on the PATH: install it with Node.' }])
      else resolve([{ level: 'fine', text: `npm ${stdout.trim()}` }])
    })
  })
}

function writeAccess(env: NodeJS.ProcessEnv): Finding[] {
  const { directory } = openHome(env)
  return [{ level: 'fine', text: `${directory} can be written to` }]
}

function disk(env: NodeJS.ProcessEnv): Finding[] {
  const { directory } = openHome(env)
  const { bavail, bsize } = statfsSync(directory)
  const free = bavail * bsize
  const text = `${inMebibytes(free)} free on the disk of ${directory}`
  if (free < leastDisk)
    return [{ level: 'blocker', text: `${text}: free ${inMebibytes(neededDisk)}.` }]
  if (free < neededDisk) return [{ level: 'warning', text: `${text}: that may not last.` }]
  return [{ level: 'fine', text }]
}

function memory(): Finding[] {
  const limit = process.constrainedMemory()
  const free = limit > 0 ? Math.min(process.availableMemory(), limit) : freemem()
  const text = `${inMebibytes(free)} of memory available`
  return free < neededMemory
    ? [
        {
          level: 'warning',
          text: `${text}, ${inMebibytes(neededMemory)} are comfortable: close something.`,
        },
      ]
    : [{ level: 'fine', text }]
}

async function ports(env: NodeJS.ProcessEnv): Promise<Finding[]> {
  const plan = planPorts(env)
  const holder = lockHolder(openHome(env).lock)
  if (holder) {
    const text = `The stack is running (process ${holder.pid}), on its ports; "npm run stop" stops it`
    return [{ level: 'fine', text }]
  }
  const taken = await takenPorts(plan)
  if (taken.length === 0) return [{ level: 'fine', text: 'All ports are free' }]
  return taken.map((text) => ({ level: 'blocker', text }))
}

async function redis(env: NodeJS.ProcessEnv): Promise<Finding[]> {
  const log = (text: string) => process.stdout.write(`${text}\n`)
  const { version, source } = await findRedisServer({ workDir: openHome(env).programs, env, log })
  return [{ level: 'fine', text: `Redis ${version} (${source})` }]
}

async function postgres(env: NodeJS.ProcessEnv): Promise<Finding[]> {
  const local = listServices().filter(
    ({ name, migrations }) => migrations !== undefined && !externalDatabase(name, env),
  )
  if (local.length === 0) return [{ level: 'fine', text: 'All databases are given from outside' }]
  const { version, source } = await findPostgres({ env })
  return [{ level: 'fine', text: `PostgreSQL ${version} (${source})` }]
}

function inMebibytes(bytes: number): string {
  return `${Math.round(bytes / mebibyte).toLocaleString('en')} MiB`
}
