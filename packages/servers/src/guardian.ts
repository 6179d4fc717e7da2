import { spawn } from 'node:child_process'
import type { Socket } from 'node:net'

/**
 * A process that is killed with -9 cannot clean up after itself. So the first call here starts one
 * small shell in a session of its own that reads a pipe only this process holds open. The pipe ends
 * when this process ends, however it ends; then the shell kills and removes what is still on its list.
 * Works on every POSIX system, unlike PR_SET_PDEATHSIG, which also fires when a mere thread ends.
 */
const script = `
trap '' INT TERM HUP QUIT
while IFS= read -r line; do
  case $line in
    +*) set -- "$@" "\${line#+}" ;;
    -*) for entry do shift; [ "$entry" = "\${line#-}" ] || set -- "$@" "$entry"; done ;;
  esac
done
for entry do
  case $entry in
    process:*) kill -9 "\${entry#process:}" ;;
    postgres:*) kill -QUIT "\${entry#postgres:}" ;;
    container:*) docker rm --force "\${entry#container:}" ;;
  esac
done
for attempt in 1 2 3; do
  left=
  for entry do
    case $entry in directory:*) rm -rf -- "\${entry#directory:}" || left=1 ;; esac
  done
  [ -z "$left" ] && break
  sleep 0.2
done
`

let pipe: Socket | undefined

function tell(line: string): void {
  if (!pipe) {
    const shell = spawn('/bin/sh', ['-c', script], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    })
    shell.unref()
    pipe = shell.stdin as Socket
    pipe.unref()
    // Without the guardian the normal clean-up still works; there is nobody to tell of its loss.
    pipe.on('error', () => undefined)
    shell.on('error', () => undefined)
  }
  pipe.write(`${line}\n`)
}

type Ward =
  | `process:${number}`
  /** A postmaster: it is told to stop at once, and takes its children and shared memory along. */
  | `postgres:${number}`
  /** A container name, removed by force. */
  | `container:${string}`
  /** An absolute path, removed with all in it. */
  | `directory:${string}`

function check(ward: Ward): Ward {
  if (ward.includes('\n')) throw new Error(`a line break cannot be guarded: ${ward}`)
  return ward
}

/**
 * From now on, when this process ends in any way, the process is killed (-9), the container removed
 * or the directory deleted. Call `release` once it is gone: process ids are reused.
 */
export function guard(ward: Ward): void {
  tell(`+${check(ward)}`)
}

/** Takes back `guard`. */
export function release(ward: Ward): void {
  tell(`-${check(ward)}`)
}
