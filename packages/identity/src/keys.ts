import { createPrivateKey, createPublicKey, generateKeyPairSync, hash } from 'node:crypto'
import type { KeyObject } from 'node:crypto'

/** The public half of a signing key, as a JWKS shows it. `kid` is its RFC 7638 thumbprint. */
export type PublicJwk = {
  readonly kty: 'OKP'
  readonly crv: 'Ed25519'
  readonly x: string
  readonly kid: string
  readonly alg: 'EdDSA'
  readonly use: 'sig'
}

/** A JSON Web Key Set (RFC 7517). */
export type Jwks = { readonly keys: readonly PublicJwk[] }

/** A key that tokens are checked with. */
export type VerificationKey = { readonly keyId: string; readonly publicPem: string }

/** The key that signs, and every key that is published: the signing one, its predecessor, its successor. */
export type SigningKeys = {
  readonly keyId: string
  readonly privatePem: string
  readonly jwks: Jwks
}

const pemBlock = /-----BEGIN ([A-Z0-9 ]+)-----[^-]+-----END \1-----/g
const base64url32 = /^[A-Za-z0-9_-]{43}$/
const remedy = 'create one with "openssl genpkey -algorithm ed25519"'

/** True for what can be a key id here: a base64url SHA-256, so nothing path-like, long or odd ever gets further. */
export function isKeyId(value: unknown): value is string {
  return typeof value === 'string' && base64url32.test(value)
}

/**
 * Reads signing keys from PEM text. The first block must be an Ed25519 private key (PKCS8): it signs. Further blocks,
 * private or public, are published too, which is how keys are rotated with overlap. Line breaks may be written `\n`.
 * Throws an Error with one sentence that never holds key material.
 */
export function readSigningKeys(pem: string): SigningKeys {
  const blocks = [...pem.replaceAll('\\n', '\n').matchAll(pemBlock)]
  const [first] = blocks
  if (first === undefined) throw new Error(`holds no PEM key; ${remedy}`)
  if (first[1] !== 'PRIVATE KEY') {
    throw new Error(`begins with a "${first[1]}" block, not with a PKCS8 private key; ${remedy}`)
  }
  const published = new Map<string, PublicJwk>()
  for (const block of blocks) {
    const jwk = publicJwk(readBlock(block[0], block[1] ?? ''))
    published.set(jwk.kid, jwk)
  }
  const jwks = { keys: [...published.values()] }
  return { keyId: publicJwk(readBlock(first[0], first[1])).kid, privatePem: first[0], jwks }
}

/** A fresh Ed25519 private key as PKCS8 PEM. */
export function generateSigningKey(): string {
  const { privateKey } = generateKeyPairSync('ed25519')
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
}

/**
 * The usable keys of a JWKS document: Ed25519, for signatures, and named by their own thumbprint. Others are left
 * out. Throws when it is no JWKS or none is usable.
 */
export function readJwks(document: unknown): ReadonlyMap<string, VerificationKey> {
  const listed = isObject(document) ? document['keys'] : undefined
  if (!Array.isArray(listed)) throw new Error('the key set is not a JWKS document')
  const keys = new Map<string, VerificationKey>()
  for (const jwk of listed.slice(0, 32)) {
    if (!isUsable(jwk)) continue
    const { kty, crv, x } = jwk
    const publicKey = createPublicKey({ key: { kty, crv, x }, format: 'jwk' })
    const publicPem = publicKey.export({ type: 'spki', format: 'pem' }).toString()
    keys.set(jwk.kid, { keyId: jwk.kid, publicPem })
  }
  if (keys.size === 0) throw new Error('the key set holds no usable Ed25519 key')
  return keys
}

function isUsable(jwk: unknown): jwk is PublicJwk {
  return (
    isObject(jwk) &&
    jwk['kty'] === 'OKP' &&
    jwk['crv'] === 'Ed25519' &&
    typeof jwk['x'] === 'string' &&
    base64url32.test(jwk['x']) &&
    (jwk['alg'] === undefined || jwk['alg'] === 'EdDSA') &&
    (jwk['use'] === undefined || jwk['use'] === 'sig') &&
    jwk['kid'] === thumbprint(jwk['x'])
  )
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

function readBlock(pem: string, label: string): KeyObject {
  let key: KeyObject
  try {
    key = label === 'PRIVATE KEY' ? createPrivateKey(pem) : createPublicKey(pem)
  } catch {
    throw new Error(`holds a damaged "${label}" block; ${remedy}`)
  }
  if (key.asymmetricKeyType !== 'ed25519') {
    throw new Error(`holds a key of type ${key.asymmetricKeyType}, not ed25519; ${remedy}`)
  }
  return key
}

function publicJwk(key: KeyObject): PublicJwk {
  const { x } = (key.type === 'private' ? createPublicKey(key) : key).export({ format: 'jwk' })
  if (x === undefined) throw new Error('an Ed25519 key without a public half')
  return { kty: 'OKP', crv: 'Ed25519', x, kid: thumbprint(x), alg: 'EdDSA', use: 'sig' }
}

/** RFC 7638: SHA-256 over the required members in lexical order. */
function thumbprint(x: string): string {
  return hash('sha256', `{"crv":"Ed25519","kty":"OKP","x":"${x}"}`, 'base64url')
}
