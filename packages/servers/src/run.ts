import { spawn, type SpawnOptions } from 'node:child_process'

export interface RunResult {
  /** Exit code; -1 when the program could not be started or was ended by a signal. */
  code: number
  stdout: string
  stderr: string
}

/**
 * Runs a program to its end and collects what it says. Never throws: a program that is missing or
 * runs into `timeoutMs` (default 60 000; it is then killed) has code -1 and the reason in `stderr`.
 */
export function run(
  command: string,
  args: string[],
  options: Pick<SpawnOptions, 'cwd' | 'env' | 'uid' | 'gid'> & { timeoutMs?: number } = {},
): Promise<RunResult> {
  const { timeoutMs = 60_000, ...rest } = options
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      ...rest,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
    })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    child.once('error', (error) => resolve({ code: -1, stdout, stderr: error.message }))
    child.once('close', (code, signal) => {
      if (signal !== null) stderr += `\n${command} was ended by ${signal}`
      resolve({ code: code ?? -1, stdout, stderr })
    })
    child.once('exit', () => {
      // A daemon that the program leaves behind may keep the pipes open for ever.
      setTimeout(() => {
        child.stdout.destroy()
        child.stderr.destroy()
      }, 1000).unref()
    })
  })
}
