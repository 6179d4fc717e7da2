/** What is to be done with an item next: nothing, or the same again later. */
export type Verdict = 'done' | { againInMs: number }

/** An item in its lane. Items of one lane run one after another, lowest `order` first. */
export type LaneItem = {
  lane: string
  order: number
  /** Must not reject. */
  run(): Promise<Verdict>
}

type Lane = { items: LaneItem[]; state: 'ready' | 'running' | 'waiting'; timer?: NodeJS.Timeout }

export type Lanes = ReturnType<typeof createLanes>

/**
 * Runs items, at most `concurrency` at once and one at a time in each lane. An item that is to run again later holds
 * up its own lane and no other; an item of lower order that arrives meanwhile goes ahead of it.
 */
export function createLanes({ concurrency }: { concurrency: number }) {
  const lanes = new Map<string, Lane>()
  const ready: Lane[] = []
  const running = new Set<Promise<void>>()
  const state = { size: 0, stopped: false }
  const waitingForRoom = new Set<() => void>()

  function pump(): void {
    while (!state.stopped && running.size < concurrency) {
      const lane = ready.shift()
      if (!lane) return
      const task = runFirst(lane)
      running.add(task)
      void task.then(() => {
        running.delete(task)
        pump()
      })
    }
  }

  async function runFirst(lane: Lane): Promise<void> {
    lane.state = 'running'
    const [item] = lane.items
    if (!item) return
    const verdict = await item.run()
    if (verdict === 'done') {
      lane.items.splice(lane.items.indexOf(item), 1)
      state.size -= 1
      tellOfRoom()
      if (lane.items.length === 0) lanes.delete(item.lane)
      else makeReady(lane)
    } else if (lane.items[0] !== item) {
      makeReady(lane)
    } else {
      lane.state = 'waiting'
      lane.timer = setTimeout(() => {
        makeReady(lane)
        pump()
      }, verdict.againInMs)
    }
  }

  function makeReady(lane: Lane): void {
    clearTimeout(lane.timer)
    lane.state = 'ready'
    ready.push(lane)
  }

  function tellOfRoom(): void {
    for (const go of waitingForRoom) go()
    waitingForRoom.clear()
  }

  return {
    get size() {
      return state.size
    },

    add(item: LaneItem): void {
      state.size += 1
      let lane = lanes.get(item.lane)
      if (!lane) {
        lane = { items: [], state: 'waiting' }
        lanes.set(item.lane, lane)
      }
      const behind = lane.items.findIndex((other) => other.order > item.order)
      lane.items.splice(behind < 0 ? lane.items.length : behind, 0, item)
      if (lane.state === 'waiting' && lane.items[0] === item) makeReady(lane)
      pump()
    },

    /** Resolves when fewer than `limit` items are here, or everything stops. */
    async room(limit: number): Promise<void> {
      if (state.size < limit || state.stopped) return
      await new Promise<void>((resolve) => waitingForRoom.add(resolve))
      return this.room(limit)
    },

    /** Starts nothing more and lets what runs end. */
    async stop(): Promise<void> {
      state.stopped = true
      tellOfRoom()
      await Promise.all(running)
      for (const lane of lanes.values()) clearTimeout(lane.timer)
    },
  }
}
