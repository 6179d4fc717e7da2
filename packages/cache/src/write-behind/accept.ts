import { defineScript, type Argument, type RedisClient } from '@wattle/redis'
import { createBatch } from '../batch.ts'
import type { Packed } from './change.ts'
import { WriteRefusedError } from './errors.ts'
import type { Parts } from './parts.ts'
import { ready } from './ready.ts'

const script = defineScript(new URL('./accept.lua', import.meta.url))

type Job = { packed: Packed; resolve: (version: number) => void; reject: (cause: unknown) => void }

const mostInOne = 100

/**
 * Accepts changes; those of one turn travel together. Resolves to the version when the master has the change and, where
 * asked for, `replicas` replicas have it; rejects with WriteRefusedError.
 */
export function createAcceptor({
  place,
  settings: { redis, replicas, waitMs, maxChanges, maxKeys },
}: Pick<Parts<never>, 'place' | 'settings'>) {
  // WAIT speaks of the connection it comes on, and blocks it.
  const waiting = replicas > 0 ? redis.blocking({ maxBlockMs: waitMs }) : undefined
  const keys = [place.stream, place.pending, place.version]

  const submit = createBatch<Job>(mostInOne, (jobs) => {
    void send(jobs.map(({ packed }) => packed)).then(
      (reply) => {
        for (const [at, { packed, resolve, reject }] of jobs.entries()) {
          const answer = String(reply[at])
          if (/^\d+$/.test(answer)) resolve(Number(answer))
          else reject(fullError(packed.encoded, answer))
        }
      },
      (cause: unknown) => {
        for (const { packed, reject } of jobs) {
          const message = `whether the change of ${packed.encoded} was accepted is not known, since Redis ${redis.name} does not serve: it may be written, so put it again only if that does no harm`
          reject(new WriteRefusedError('away', message, { cause }))
        }
      },
    )
  })

  function fullError(encoded: string, what: string): WriteRefusedError {
    const bound = what === 'keys' ? `maxKeys (${maxKeys})` : `maxChanges (${maxChanges})`
    return new WriteRefusedError(
      'full',
      `the change of ${encoded} was refused, since ${bound} wait for the source already: see why they are not written, or raise the bound`,
    )
  }

  async function send(changes: readonly Packed[]): Promise<unknown[]> {
    const args = [
      maxChanges,
      maxKeys,
      ...changes.flatMap(({ encoded, codecs, keyBytes, valueBytes }) => [
        encoded,
        codecs,
        keyBytes,
        valueBytes,
      ]),
    ]
    if (!waiting) return (await redis.run(script, { keys, args })) as unknown[]
    await ready(waiting)
    try {
      return await sendAndWait(waiting, 'EVALSHA', script.sha, args)
    } catch (cause) {
      if (!(cause instanceof Error && cause.message.startsWith('NOSCRIPT'))) throw cause
      return await sendAndWait(waiting, 'EVAL', script.source, args)
    }
  }

  /** In one write, so that no reconnection comes between them. */
  async function sendAndWait(
    client: RedisClient,
    command: 'EVALSHA' | 'EVAL',
    what: string,
    args: Argument[],
  ): Promise<unknown[]> {
    const pipeline = client.pipeline()
    void pipeline.call(command, what, keys.length, ...keys, ...args)
    void pipeline.wait(replicas, waitMs)
    const [accepted, waited] = (await pipeline.exec()) ?? []
    const error = accepted?.[0] ?? waited?.[0]
    if (error) throw error
    const confirmed = Number(waited?.[1] ?? 0)
    if (confirmed < replicas) {
      throw new Error(`${confirmed} of ${replicas} replicas confirmed it within ${waitMs} ms`)
    }
    return (accepted?.[1] ?? []) as unknown[]
  }

  return (packed: Packed) =>
    new Promise<number>((resolve, reject) => submit({ packed, resolve, reject }))
}
