import { createHash } from 'node:crypto'
import { defineScript, type Script } from '@wattle/redis'
import type { Algorithm } from './policy.ts'

/** In an order in which each comes after what it is built on. */
const algorithms: readonly Algorithm[] = [
  'token-bucket',
  'leaky-bucket',
  'fixed-window',
  'sliding-counter',
  'sliding-log',
]

/** What the files may use: looking a global up costs as much as some of the arithmetic. */
const preamble = [
  'local call, format = redis.call, string.format',
  'local floor, ceil, min, max = math.floor, math.ceil, math.min, math.max',
  'local KEYS, ARGV, tonumber = KEYS, ARGV, tonumber',
  'local algorithms = {}',
  '',
].join('\n')

/** `decide.lua` with the algorithms before it: one script decides calls of every kind, in any mix, in one round trip. */
export const decideScript: Script = assemble()

function assemble(): Script {
  const read = (path: string) => defineScript(new URL(path, import.meta.url)).source
  const source = [
    preamble,
    ...algorithms.map(
      (name) => `algorithms['${name}'] = (function()\n${read(`./algorithms/${name}.lua`)}end)()\n`,
    ),
    read('./decide.lua'),
  ].join('')
  const sha = createHash('sha1').update(source).digest('hex')
  return Object.freeze({ name: 'decide.lua', source, sha })
}
