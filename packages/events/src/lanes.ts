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
 *
 * There is room for `limit` items that can run. Items of lanes that wait do not count, or they would keep out others,
 * and in the end the very item they wait for; only at ten times `limit` they do.
 */
export function createLanes({ concurrency, limit }: { concurrency: number; limit: number }) {
  const lanes = new Map<string, Lane>()
  const ready: Lane[] = []
  const running = new Set<Promise<void>>()
  const waitingForRoom = new Set<() => void>()
  const count = { all: 0, waiting: 0 }
  let stopped = false

  const room = () => Math.min(limit - (count.all - count.waiting), 10 * limit - count.all)

  function tellOfRoom(): void {
    if (room() <= 0 && !stopped) return
    for (const go of waitingForRoom) go()
    waitingForRoom.clear()
  }

  function pump(): void {
    for (;;) {
      const lane = stopped || running.size >= concurrency ? undefined : ready.shift()
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
    const [item] = lane.items
    if (!item) return
    lane.state = 'running'
    const verdict = await item.run()
    if (verdict === 'done') {
      lane.items.splice(lane.items.indexOf(item), 1)
      count.all -= 1
      if (lane.items.length === 0) lanes.delete(item.lane)
      else makeReady(lane)
    } else if (lane.items[0] !== item) {
      makeReady(lane)
    } else {
      lane.state = 'waiting'
      count.waiting += lane.items.length
      lane.timer = setTimeout(() => {
        makeReady(lane)
        pump()
      }, verdict.againInMs)
    }
    tellOfRoom()
  }

  function makeReady(lane: Lane): void {
    if (lane.state === 'waiting') count.waiting -= lane.items.length
    clearTimeout(lane.timer)
    lane.state = 'ready'
    ready.push(lane)
  }

  return {
    /** How many more items there is room for. `add` takes more: what is claimed from a dead copy must get in. */
    room,

    /** Resolves when there is room for an item, or everything stops. */
    async whenRoom(): Promise<void> {
      if (room() > 0 || stopped) return
      await new Promise<void>((resolve) => waitingForRoom.add(resolve))
      return this.whenRoom()
    },

    add(item: LaneItem): void {
      let lane = lanes.get(item.lane)
      if (!lane) {
        lane = { items: [], state: 'waiting' }
        lanes.set(item.lane, lane)
      }
      const behind = lane.items.findIndex((other) => other.order > item.order)
      lane.items.splice(behind < 0 ? lane.items.length : behind, 0, item)
      count.all += 1
      if (lane.state === 'waiting') {
        count.waiting += 1
        if (lane.items[0] === item) makeReady(lane)
      }
      pump()
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
