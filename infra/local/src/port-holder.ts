import { execFile } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

/** Who listens on a TCP port, such as `process 4711 (python3 -m http.server)`; undefined where that cannot be seen. */
export async function holderOf(port: number): Promise<string | undefined> {
  const pid = process.platform === 'linux' ? listenerByProc(port) : await listenerByLsof(port)
  if (pid === undefined) return undefined
  const command = await commandOf(pid)
  return `process ${pid}${command ? ` (${command})` : ''}`
}

const listening = '0A'

function listenerByProc(port: number): number | undefined {
  const inodes = new Set(
    ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((table) =>
      readOr(table, '')
        .split('\n')
        .slice(1)
        .map((line) => line.trim().split(/\s+/))
        .filter(([, local = '', , state]) => {
          return state === listening && Number.parseInt(local.split(':')[1] ?? '', 16) === port
        })
        .map((fields) => `socket:[${fields[9]}]`),
    ),
  )
  if (inodes.size === 0) return undefined
  return numbersIn('/proc').find((pid) =>
    numbersIn(`/proc/${pid}/fd`).some((fd) => {
      try {
        return inodes.has(readlinkSync(`/proc/${pid}/fd/${fd}`))
      } catch {
        return false
      }
    }),
  )
}

function numbersIn(directory: string): number[] {
  try {
    return readdirSync(directory).map(Number).filter(Number.isInteger)
  } catch {
    return []
  }
}

async function listenerByLsof(port: number): Promise<number | undefined> {
  const out = await outputOf('lsof', ['-nP', `-iTCP:${port}`, '-sTCP:LISTEN', '-Fp'])
  const pid = /^p(\d+)$/m.exec(out)?.[1]
  return pid === undefined ? undefined : Number(pid)
}

async function commandOf(pid: number): Promise<string> {
  const command =
    process.platform === 'linux'
      ? readOr(`/proc/${pid}/cmdline`, '').replaceAll('\0', ' ')
      : await outputOf('ps', ['-o', 'args=', '-p', String(pid)])
  const text = command.trim()
  return text.length > 100 ? `${text.slice(0, 99)}…` : text
}

function readOr(file: string, otherwise: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return otherwise
  }
}

function outputOf(program: string, args: string[]): Promise<string> {
  return new Promise((resolve) => {
    execFile(program, args, { timeout: 3_000 }, (_error, stdout) => resolve(stdout))
  })
}
