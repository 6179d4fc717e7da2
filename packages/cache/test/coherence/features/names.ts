/** What a run can have switched on in its processes, beside the reads, writes and invalidations of every run. */
export const features = [
  'write-behind',
  'budget',
  'hot-keys',
  'warming',
  'adaptive',
  'audit',
  'wrappers',
  'locks',
] as const
export type Feature = (typeof features)[number]

/** Features that keep something in the `state` group. */
export const needsState = (on: readonly Feature[]): boolean =>
  on.includes('write-behind') || on.includes('locks')

/** Names as they are given to the command; `all` for every one. Throws one sentence for what there is not. */
export function featuresNamed(names: readonly string[]): readonly Feature[] {
  if (names.includes('all')) return features
  return names.map((name) => {
    const found = features.find((feature) => feature === name)
    if (!found) throw new Error(`There is no feature "${name}"; there are ${features.join(', ')}.`)
    return found
  })
}
