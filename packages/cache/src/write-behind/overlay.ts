import { defineScript } from '@wattle/redis'
import { createBatch } from '../batch.ts'
import type { Overlay } from '../kind-core.ts'
import { unpackValue } from './change.ts'
import { PendingUnknownError } from './errors.ts'
import type { Parts } from './parts.ts'

const script = defineScript(new URL('./pending.lua', import.meta.url))

type Found = [codecs: Buffer, value: Buffer] | null
type Job = {
  encoded: string
  resolve: (found: Found) => void
  reject: (cause: unknown) => void
}

/**
 * Stands between a load and the source: a value that is on its way there is what the source is going to have.
 *
 * First the pending table, then the source, never the other way round: what is no longer pending was written before the
 * mark was taken off, so the source, asked later, has it.
 */
export function createOverlay({
  place,
  settings: { redis, whenStateIsAway },
}: Pick<Parts<never>, 'place' | 'settings'>): Overlay {
  const ask = createBatch<Job>(128, (jobs) => {
    const keys = [place.stream, place.pending]
    const args = jobs.map(({ encoded }) => encoded)
    void redis.run(script, { keys, args, buffers: true }).then(
      (reply) => {
        for (const [at, { resolve }] of jobs.entries()) resolve((reply as Found[])[at] ?? null)
      },
      (cause: unknown) => {
        for (const { reject } of jobs) reject(cause)
      },
    )
  })

  return async (encoded, load) => {
    let found: Found
    try {
      found = await new Promise<Found>((resolve, reject) => ask({ encoded, resolve, reject }))
    } catch (cause) {
      if (whenStateIsAway === 'source') return load()
      throw new PendingUnknownError(
        `${encoded} cannot be loaded, since Redis ${redis.name} does not say whether a newer value than the source's is pending: try again later, or choose whenStateIsAway: 'source'`,
        { cause },
      )
    }
    return found ? unpackValue(found[0].toString(), found[1]) : load()
  }
}
