import { keySpace } from '@wattle/redis'

/**
 * The stream of a publishing service: `production:events:payment`. It lives on the `state` group and is shared: its
 * publisher appends and trims, every consumer reads and acknowledges.
 */
export function eventStreamKey(of: { environment: string; service: string }): string {
  keySpace(of) // refuses names that are none
  return `${keySpace({ environment: of.environment, service: 'events' }).prefix}${of.service}`
}
