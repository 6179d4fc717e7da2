import type { KindCore } from '../kind-core.ts'

/** What loads an entry of the kind: where it is written behind, a change that waits comes first. */
export const pendingFirst = (
  { overlay }: KindCore,
  encoded: string,
  load: () => unknown,
): (() => unknown) => (overlay ? () => overlay(encoded, load) : load)
