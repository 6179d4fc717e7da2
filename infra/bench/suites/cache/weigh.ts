/**
 * How many bytes a cache takes for an entry beyond its key and value, which the caller holds as well. What the loader
 * makes is part of the entry, so it is weighed by itself first and subtracted.
 */
export async function bytesPerEntry(
  get: (key: string) => Promise<unknown>,
  keys: readonly string[],
): Promise<number> {
  const collect = globalThis.gc
  if (!collect) throw new Error('weighing needs node --expose-gc')
  const weigh = async () => {
    // Buffers are freed by finalizers, which run between collections.
    for (let turn = 0; turn < 4; turn++) {
      collect()
      await new Promise(setImmediate)
    }
    const { heapUsed, arrayBuffers } = process.memoryUsage()
    return heapUsed + arrayBuffers
  }
  // A Map of what the small loader makes: one empty-handed run, whose cost is known, stands for key and value.
  const values: unknown[] = Array.from({ length: keys.length })
  const empty = await weigh()
  for (const [at, key] of keys.entries()) values[at] = { id: key }
  const valuesAlone = (await weigh()) - empty
  values.length = 0
  const before = await weigh()
  for (const key of keys) await get(key)
  const after = await weigh()
  return (after - before - valuesAlone) / keys.length
}
