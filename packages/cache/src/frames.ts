import { AsyncLocalStorage } from 'node:async_hooks'
import type { Load } from './loads.ts'

/** What a loader may wait for: a read, which loads when it has to. */
export interface Awaited {
  /** Of the loads whose loaders wait for it, the deepest. */
  within: Frame | undefined
  readonly loading: Load | undefined
}

/** A load that is under way, as what its loader calls knows of it. */
export class Frame {
  /** Gone when it has ended: what it left behind, such as a connection of a pool, belongs to nobody's load. */
  load: Load | undefined
  readonly outer: Frame | undefined
  /** Loads that wait for this one, one for the other: the longest such row. It grows when another begins to wait. */
  depth: number
  /** What its loader has asked for. */
  readonly awaits = new Set<Awaited>()

  constructor(load: Load) {
    this.load = load
    this.outer = load.within
    this.depth = depthOf(load)
  }
}

/** 0 of what no loader asked for. */
export const depthOf = ({ within }: Load): number => (within ? within.depth + 1 : 0)

const frames = new AsyncLocalStorage<Frame>()

/** The load whose loader called whoever asks, if it is under way still. */
export function frameNow(): Frame | undefined {
  let frame = frames.getStore()
  while (frame && !frame.load) frame = frame.outer
  return frame
}

/** Runs the load's loader, so that what it calls knows. */
export async function loadIn(frame: Frame, load: Load): Promise<unknown> {
  try {
    return await frames.run(frame, () => load.load())
  } finally {
    frame.load = undefined
    frame.awaits.clear()
  }
}
