/** What is to be done with an item next: nothing, or the same again later. */
export type Verdict = 'done' | { againInMs: number }

/** An item in its lane. Items of one lane run one after another, lowest `order` first. */
export type LaneItem = { lane: string; order: number }

type Lane<Item> = { items: Item[]; state: 'ready' | 'running' | 'waiting'; timer?: NodeJS.Timeout }

/**
 * Runs items, at most `concurrency` at once and one at a time in each lane. An item that is to run again later holds
 * up its own lane and no other; an item of lower order that arrives meanwhile goes ahead of it.
 */
export function createLanes<Item extends LaneItem>({
  concurrency,
  run,
}: {
  concurrency: number
  /** Must not reject. */
  run: (item: Item) => Promise<Verdict>
}) {
  const lanes = new Map<string, Lane<Item>>()
  const ready: Lane<Item>[] = []
  const running = new Set<Promise<void>>()
  let size = 0
  let stopped = false
  const waitingForRoom = new Set<() => void>()

  function pump(): void {
    while (!stopped && running.size < concurrency) {
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

  async function runFirst(lane: Lane<Item>): Promise<void> {
    lane.state = 'running'
    const [item] = lane.items
    if (!item) return
    const verdict = await run(item)
    if (verdict === 'done') {
      lane.items.splice(lane.items.indexOf(item), 1)
      size -= 1
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

  function makeReady(lane: Lane<Item>): void {
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
      return size
    },

    add(item: Item): void {
      size += 1
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
      while (size >= limit && !stopped) {
        await new Promise<void>((resolve) => waitingForRoom.add(resolve))
      }
    },

    /** Starts nothing more and lets what runs end. */
    async stop(): Promise<void> {
      stopped = true
      tellOfRoom()
      await Promise.all(running)
      for (const lane of lanes.values()) clearTimeout(lane.timer)
    },
  }
}
