import { createL1, type Index, type L1, type L1Options } from '../src/l1/l1.ts'

export type Fields = {
  bytes: number
  checkAt: number
  softUntil: number
  loadedAt: number
  stamp: number
  tags: readonly string[] | undefined
  shard: object | undefined
}

export type TestL1 = L1<string, readonly string[], object>

export const open = (options: L1Options): TestL1 => createL1(options)

/** Inserts with the fields that matter to the test; `value` is the key unless it is given. */
export function put(
  l1: TestL1,
  index: Index,
  key: string,
  { value = key, bytes = 1 }: { value?: string; bytes?: number } = {},
): number {
  return l1.insert(index, key, value, bytes, 0, 0, 0, 0, undefined, undefined)
}

/** What a caller does on a read: a hit is noted, and a miss loads and inserts. */
export function read(l1: TestL1, index: Index, key: string): boolean {
  const slot = index.get(key)
  if (slot === undefined) put(l1, index, key)
  else l1.hit(slot)
  return slot !== undefined
}
