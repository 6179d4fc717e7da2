/** Values that survive JSON unchanged. `undefined` is allowed for absent properties only. */
export type Cacheable =
  | string
  | number
  | boolean
  | null
  | readonly Cacheable[]
  | { readonly [key: string]: Cacheable | undefined }

/** An entry as Redis holds it. `generations` are those of the namespace and its tags when the load began. */
export type Entry = {
  readonly storedAtMs: number
  readonly ttlMs: number
  readonly generations: readonly string[]
  readonly json: string
}

const layout = '1'

/** `1|<storedAtMs>,<ttlMs>|<generation,…>|<JSON>`, times in base 36; generations hold neither `|` nor `,`. */
export function encodeEntry({ storedAtMs, ttlMs, generations, json }: Entry): string {
  const times = `${storedAtMs.toString(36)},${ttlMs.toString(36)}`
  return `${layout}|${times}|${generations.join(',')}|${json}`
}

/** The entry, or undefined for anything another layout wrote: that is a miss, never an error. */
export function decodeEntry(text: string): Entry | undefined {
  const [, times, generations] = /^1\|([0-9a-z]+,[0-9a-z]+)\|([^|]*)\|/.exec(text) ?? []
  if (times === undefined || generations === undefined) return undefined
  const [storedAtMs, ttlMs] = times.split(',').map((part) => Number.parseInt(part, 36))
  return {
    storedAtMs: storedAtMs ?? 0,
    ttlMs: ttlMs ?? 0,
    generations: generations.split(','),
    json: text.slice(layout.length + times.length + generations.length + 3),
  }
}
