import type { RedisCredentials } from '@wattle/servers'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Problem } from './problem.ts'

export type DatabasePasswords = { password: string; ownerPassword: string }

export type Secrets = {
  redis: RedisCredentials
  /** Service name → the passwords of its two roles. */
  databases: Record<string, DatabasePasswords>
  /** Files with Ed25519 private keys in PEM. */
  keys: { accessSigning: string; internalSigning: string }
}

/**
 * The passwords and keys of this stack. What is missing is made, once: a service that is added gets its own, the others
 * keep theirs. Files are readable by their owner only.
 */
export function openSecrets(directory: string, services: readonly string[]): Secrets {
  const file = join(directory, 'passwords.json')
  const known = readPasswords(file)
  const password = (name: string) => (known[name] ??= randomBytes(24).toString('base64url'))
  const secrets: Secrets = {
    redis: {
      replication: password('redis.replication'),
      sentinel: password('redis.sentinel'),
      discovery: password('redis.discovery'),
      admin: password('redis.admin'),
      services: Object.fromEntries(services.map((name) => [name, password(`redis.${name}`)])),
    },
    databases: Object.fromEntries(
      services.map((name) => [
        name,
        {
          password: password(`database.${name}`),
          ownerPassword: password(`database.${name}.owner`),
        },
      ]),
    ),
    keys: {
      accessSigning: signingKey(join(directory, 'access-signing-key.pem')),
      internalSigning: signingKey(join(directory, 'internal-signing-key.pem')),
    },
  }
  writeWhole(file, `${JSON.stringify(known, null, 2)}\n`)
  return secrets
}

function readPasswords(file: string): Record<string, string> {
  if (!existsSync(file)) return {}
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>
  } catch (error) {
    throw new Problem(`${file} cannot be read: restore it, or delete it to have new passwords.`, {
      cause: error,
    })
  }
}

function signingKey(file: string): string {
  if (!existsSync(file)) {
    const { privateKey } = generateKeyPairSync('ed25519')
    writeWhole(file, privateKey.export({ type: 'pkcs8', format: 'pem' }).toString())
  }
  return file
}

/** A reader finds the old content or the new, never a part, also after a kill. */
function writeWhole(file: string, text: string): void {
  const draft = `${file}.new`
  writeFileSync(draft, text, { mode: 0o600 })
  renameSync(draft, file)
}
