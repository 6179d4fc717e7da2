import { readFileSync } from 'node:fs'
import type { ConnectionOptions } from 'node:tls'
import type { TlsConfig } from './url.ts'

/** Reads the files that `tls` names. Throws an Error of one sentence that names the one that cannot be read. */
export function readTlsOptions(tls: TlsConfig): ConnectionOptions {
  const { caFile, certificateFile, keyFile, serverName } = tls
  return {
    ...(caFile ? { ca: readPem('CA certificate', caFile) } : {}),
    ...(certificateFile ? { cert: readPem('client certificate', certificateFile) } : {}),
    ...(keyFile ? { key: readPem('client key', keyFile) } : {}),
    ...(serverName ? { servername: serverName } : {}),
  }
}

function readPem(what: string, file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (cause) {
    throw new Error(`The ${what} for Redis cannot be read from ${file}.`, { cause })
  }
}
