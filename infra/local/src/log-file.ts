import { closeSync, mkdirSync, openSync, renameSync, statSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'

const defaultBoundBytes = 10 * 1024 * 1024

export type LogFile = { write: (line: string) => void; close: () => void }

/**
 * A file of lines that stays small: when it passes the bound it becomes `<file>.1`, which replaces the one before. Lines
 * are on disk when `write` returns, so that they outlive a kill of this process.
 */
export function openLogFile(file: string, boundBytes = defaultBoundBytes): LogFile {
  mkdirSync(dirname(file), { recursive: true })
  const open = () => openSync(file, 'a', 0o600)
  let fd = open()
  let bytes = sizeOf(file)
  return {
    write(line) {
      if (bytes > boundBytes) {
        closeSync(fd)
        renameSync(file, `${file}.1`)
        fd = open()
        bytes = 0
      }
      bytes += writeSync(fd, `${line}\n`)
    },
    close: () => closeSync(fd),
  }
}

/** Sets a log that another program writes aside once it has passed the bound. Call it before that program starts. */
export function boundLog(file: string, boundBytes = defaultBoundBytes): void {
  if (sizeOf(file) > boundBytes) renameSync(file, `${file}.1`)
}

function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0
}
