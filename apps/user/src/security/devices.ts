import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { keysFor } from '@wattle/identity'

/** A device that has been logged in to an account before, by the id in its token. */
export type KnownDevice = { readonly deviceId: string }

const idBytes = 16
const tokenForm = /^[A-Za-z0-9_-]{64}$/

/**
 * Device tokens: 16 random bytes and an HMAC over these and the account, under a key that is in no database. Given out at
 * a login, sent at the next one, they show that this device has known the password of this account. They open nothing;
 * they only spare the device from being locked out together with its network.
 */
export function deviceTokens({
  secrets,
  random = randomBytes,
}: {
  secrets: readonly [Buffer, ...Buffer[]]
  random?: (bytes: number) => Buffer
}) {
  const keys = keysFor('device token', secrets)
  const tagOf = (key: Buffer, id: Buffer, userId: string) =>
    createHmac('sha256', key).update(id).update(userId).digest()

  return {
    /** A new token for a device of this account. */
    issue(userId: string): string {
      const id = random(idBytes)
      return Buffer.concat([id, tagOf(keys[0], id, userId)]).toString('base64url')
    },
    /** The device, where the token is one of this account. */
    read(token: string | undefined, userId: string): KnownDevice | undefined {
      if (token === undefined || !tokenForm.test(token)) return undefined
      const bytes = Buffer.from(token, 'base64url')
      const id = bytes.subarray(0, idBytes)
      const tag = bytes.subarray(idBytes)
      const isOurs = keys.some((key) => timingSafeEqual(tagOf(key, id, userId), tag))
      return isOurs ? { deviceId: id.toString('base64url') } : undefined
    },
  }
}

export type DeviceTokens = ReturnType<typeof deviceTokens>
