import { openDatabase } from '@wattle/database'
import type { Logger } from '@wattle/service'
import type { Loop } from '../loop.ts'
import type { Processor } from '../processor/processor.ts'
import type { DB } from '../schema.ts'
import { startCallbackSender } from './callback-sender.ts'
import { createSandbox } from './sandbox.ts'

/** The sandbox processor over connections of its own. */
export function startSandbox(deps: {
  databaseUrl: string
  secrets: readonly [Buffer, ...Buffer[]]
  settleMs: number
  latencyMs: number
  log: Logger
  now: () => number
  random: () => number
}): {
  processor: Processor
  /** Begins to deliver callbacks to this address; not while it is undefined. */
  deliverTo(url: () => string | undefined): void
  stop(): Promise<void>
} {
  const { databaseUrl, secrets, settleMs, latencyMs, log, now, random } = deps
  const database = openDatabase<DB>({ url: databaseUrl, name: 'payment:sandbox', poolSize: 4, log })
  let sender: Loop | undefined
  return {
    processor: createSandbox({ database, secrets, settleMs, latencyMs, now, random }),
    deliverTo(url) {
      sender = startCallbackSender({
        database,
        url,
        secret: secrets[0],
        everyMs: 200,
        log,
        now,
        random,
      })
    },
    async stop() {
      await sender?.stop()
      await database.close()
    },
  }
}
