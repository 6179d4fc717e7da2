import type { Subject } from './subject.ts'

/**
 * How many bytes a cache takes for an entry beyond its key and value, which the caller holds as well. What the loader
 * makes is part of the entry, so it is weighed by itself first and subtracted.
 * What a cache sets aside when it is opened counts: it is opened between the weighings.
 */
export async function bytesPerEntry(
  open: () => Promise<Subject | undefined>,
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
  // What the loader `small` makes.
  const values: unknown[] = Array.from({ length: keys.length })
  const empty = await weigh()
  for (const [at, key] of keys.entries()) values[at] = { id: key }
  const valuesAlone = (await weigh()) - empty
  values.length = 0
  const before = await weigh()
  const subject = await open()
  for (const key of keys) await subject?.get(key)
  const after = await weigh()
  await subject?.close()
  const each = (after - before - valuesAlone) / keys.length
  if (each < 0) throw new Error('it keeps no entries in the process')
  return each
}
