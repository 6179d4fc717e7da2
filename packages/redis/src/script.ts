import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Cluster, Redis } from 'ioredis'
import { callBuffer, textOf, type Argument } from './call.ts'

/** A Lua script of its own file. */
export interface Script {
  readonly name: string
  readonly source: string
  /** What EVALSHA calls it by. */
  readonly sha: string
}

export interface ScriptCall {
  /** Every key the script touches; in a cluster all of one slot. */
  keys: readonly string[]
  args?: readonly Argument[]
  /** Replies as Buffers, for values that are not text. */
  buffers?: boolean
}

/**
 * Reads a script, once, when the module that uses it is loaded:
 *
 *     const release = defineScript(new URL('./release.lua', import.meta.url))
 *
 * `prelude` is Lua that defines local functions for several scripts; it is put after the script's own opening comment.
 * Throws unless the file opens with a comment that states its purpose, its KEYS, its ARGV and what it Returns.
 */
export function defineScript(url: URL, prelude = ''): Script {
  const file = readFileSync(url, 'utf8')
  const name = url.pathname.split('/').at(-1) ?? ''
  // A first line such as `#!lua flags=allow-oom` belongs to Redis.
  const [opening = '', header = ''] = /^(?:#!.*\n)?((?:--.*\n)*)/.exec(file) ?? []
  const source = opening + prelude + file.slice(opening.length)
  const [purpose = '', ...contract] = header.split('\n').map((line) => line.replace(/^-+\s*/, ''))
  const missing = [
    ...(purpose === '' || /^(KEYS|ARGV)\b/.test(purpose) ? ['its purpose'] : []),
    ...['KEYS', 'ARGV', 'Returns'].filter(
      (word) => !contract.some((line) => new RegExp(`\\b${word}\\b`).test(line)),
    ),
  ]
  if (missing.length > 0) {
    throw new Error(`The comment at the top of ${name} does not state ${missing.join(', ')}.`)
  }
  return Object.freeze({ name, source, sha: createHash('sha1').update(source).digest('hex') })
}

/**
 * Runs a script by its hash. A server that does not have it (started anew, promoted, flushed; in a cluster each node
 * for itself) executed nothing, and gets the source, which it then keeps.
 */
export async function runScript(
  client: Redis | Cluster,
  script: Script,
  call: ScriptCall,
): Promise<unknown> {
  try {
    return read(await callBuffer(client, 'evalsha', argumentsOf(script.sha, call)), call)
  } catch (error) {
    if (!isUnknownScript(error)) throw error
    return sendSource(client, script, call)
  }
}

const sendSource = async (client: Redis | Cluster, script: Script, call: ScriptCall) =>
  read(await callBuffer(client, 'eval', argumentsOf(script.source, call)), call)

const read = (reply: unknown, { buffers = false }: ScriptCall) => (buffers ? reply : textOf(reply))

/**
 * Runs many in one write. Results in the order of the calls; one that fails does not stop the others. Calls whose
 * script the server did not have run after the others.
 */
export async function runScripts(
  client: Redis | Cluster,
  calls: readonly (ScriptCall & { script: Script })[],
): Promise<PromiseSettledResult<unknown>[]> {
  // The keys of a pipeline must all live on one node.
  if (client.isCluster) {
    return Promise.allSettled(calls.map((call) => runScript(client, call.script, call)))
  }
  const pipeline = client.pipeline()
  for (const call of calls) {
    const send = call.buffers === true ? 'callBuffer' : 'call'
    pipeline[send]('evalsha', ...argumentsOf(call.script.sha, call))
  }
  const results = (await pipeline.exec()) ?? []
  return Promise.all(
    calls.map(async (call, index): Promise<PromiseSettledResult<unknown>> => {
      const [error, value] = results[index] ?? [new Error('Command aborted')]
      if (!error) return { status: 'fulfilled', value }
      if (!isUnknownScript(error)) return { status: 'rejected', reason: error }
      const [settled] = await Promise.allSettled([sendSource(client, call.script, call)])
      return settled
    }),
  )
}

const argumentsOf = (script: string, { keys, args = [] }: ScriptCall): Argument[] => [
  script,
  keys.length,
  ...keys,
  ...args,
]

const isUnknownScript = (error: unknown) =>
  error instanceof Error && error.message.startsWith('NOSCRIPT')
