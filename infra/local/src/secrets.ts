import type { RedisCredentials } from '@wattle/servers'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Problem } from './problem.ts'

/**
 * What a service keeps secret beside its passwords: variable → what it holds. The service finds the name of a file in
 * `<variable>_FILE`, and no other service gets to see it.
 */
const ownSecrets: Readonly<Record<string, Readonly<Record<string, SecretKind>>>> = {
  gateway: { WATTLE_INTERNAL_SIGNING_KEY: 'signing key' },
  user: { WATTLE_ACCESS_SIGNING_KEY: 'signing key', WATTLE_SESSION_SECRET: 'secret' },
  payment: {
    WATTLE_SERVICE_SIGNING_KEY: 'signing key',
    WATTLE_PROCESSOR_SECRET: 'webhook secret',
  },
}

type SecretKind = keyof typeof makeSecret

const makeSecret = {
  /** An Ed25519 private key in PEM. */
  'signing key': () =>
    generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  /** 32 bytes in base64. */
  secret: () => randomBytes(32).toString('base64'),
  /** As in Standard Webhooks. */
  'webhook secret': () => `whsec_${randomBytes(32).toString('base64')}`,
}

export type Secrets = {
  redis: RedisCredentials
  /** Service → the passwords of its two database roles. */
  databases: Readonly<Record<string, { password: string; ownerPassword: string }>>
  /** Service → variable → file with the secret. */
  files: Readonly<Record<string, Readonly<Record<string, string>>>>
}

/** The variables with secrets of this service's own. */
export function secretVariables(service: string): string[] {
  return Object.keys(ownSecrets[service] ?? {})
}

/**
 * The passwords and keys of this stack. What is missing is made, once: a service that is added gets its own, the others
 * keep theirs. Files are readable by their owner only.
 */
export function openSecrets(directory: string, services: readonly string[]): Secrets {
  const file = join(directory, 'passwords.json')
  const known = readPasswords(file)
  const password = (name: string) => (known[name] ??= randomBytes(24).toString('base64url'))
  const forEach = <T>(of: (service: string) => T) =>
    Object.fromEntries(services.map((service) => [service, of(service)]))
  const secrets: Secrets = {
    redis: {
      replication: password('redis.replication'),
      sentinel: password('redis.sentinel'),
      discovery: password('redis.discovery'),
      admin: password('redis.admin'),
      services: forEach((service) => password(`redis.${service}`)),
    },
    databases: forEach((service) => ({
      password: password(`database.${service}`),
      ownerPassword: password(`database.${service}.owner`),
    })),
    files: forEach((service) =>
      Object.fromEntries(
        Object.entries(ownSecrets[service] ?? {}).map(([variable, kind]) => [
          variable,
          secretFile(join(directory, `${service}.${variable}`), kind),
        ]),
      ),
    ),
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

function secretFile(file: string, kind: SecretKind): string {
  if (!existsSync(file)) writeWhole(file, makeSecret[kind]())
  return file
}

/** A reader finds the old content or the new, never a part, also after a kill. */
function writeWhole(file: string, text: string): void {
  const draft = `${file}.new`
  writeFileSync(draft, text, { mode: 0o600 })
  renameSync(draft, file)
}
