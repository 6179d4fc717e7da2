import { LRUCache } from 'lru-cache'
import { createL1 } from '../../../../packages/cache/src/l1/l1.ts'

/** A cache of so many keys, as a function that refers to a key and says whether it was there. */
export type Policy = (capacity: number) => (key: number) => boolean

/** The store itself, asked as a caller asks it. */
export const wattle: Policy = (maxEntries) => {
  const l1 = createL1<number>({ maxEntries, maxBytes: 2 ** 34 })
  const index = l1.createIndex()
  return (key) => {
    const slot = index.get(String(key))
    if (slot === undefined) {
      l1.insert(index, String(key), key, 1, 0, 0, 0, 0, undefined, undefined)
    } else l1.hit(slot)
    return slot !== undefined
  }
}

export const lru: Policy = (max) => {
  const cache = new LRUCache<number, number>({ max })
  return (key) => {
    if (cache.get(key) !== undefined) return true
    cache.set(key, key)
    return false
  }
}

/** SIEVE (Zhang and others, NSDI 2024). */
export const sieve: Policy = (capacity) => {
  const nodes = new Map<number, Node>()
  const queue = createList()
  let hand: Node | undefined
  return (key) => {
    const present = nodes.get(key)
    if (present) {
      present.touched = true
      return true
    }
    if (nodes.size === capacity) {
      let victim = hand ?? queue.last()
      while (victim?.touched) {
        victim.touched = false
        victim = queue.before(victim) ?? queue.last()
      }
      if (victim) {
        hand = queue.before(victim)
        queue.remove(victim)
        nodes.delete(victim.key)
      }
    }
    const node = newNode(key)
    nodes.set(key, node)
    queue.push(node)
    return false
  }
}

/** ARC (Megiddo and Modha, FAST 2003). */
export const arc: Policy = (capacity) => {
  const nodes = new Map<number, Node>()
  const [once, often, onceGone, oftenGone] = [
    createList(),
    createList(),
    createList(),
    createList(),
  ]
  let target = 0

  const move = (node: Node | undefined, from: List, to: List) => {
    if (!node) return
    from.remove(node)
    to.push(node)
  }
  const forget = (from: List) => {
    const node = from.last()
    if (!node) return
    from.remove(node)
    nodes.delete(node.key)
  }
  const replace = (forOften: boolean) => {
    const tooMany = once.size > target || (forOften && once.size === target)
    if (once.size > 0 && tooMany) move(once.last(), once, onceGone)
    else move(often.last(), often, oftenGone)
  }
  return (key) => {
    const node = nodes.get(key)
    if (node && (node.list === once || node.list === often)) {
      move(node, node.list, often)
      return true
    }
    if (node?.list === onceGone) {
      target = Math.min(capacity, target + Math.max(oftenGone.size / onceGone.size, 1))
      replace(false)
      move(node, onceGone, often)
    } else if (node) {
      target = Math.max(0, target - Math.max(onceGone.size / oftenGone.size, 1))
      replace(true)
      move(node, oftenGone, often)
    } else {
      const total = nodes.size
      if (once.size + onceGone.size === capacity) {
        forget(once.size < capacity ? onceGone : once)
        if (once.size + often.size === capacity) replace(false)
      } else if (total >= capacity) {
        if (total >= 2 * capacity) forget(oftenGone)
        replace(false)
      }
      const added = newNode(key)
      nodes.set(key, added)
      once.push(added)
    }
    return false
  }
}

/** W-TinyLFU (Einziger, Friedman and Manes, 2017): a window of 1 %, a segmented main part, a counting sketch. */
export const tinyLfu: Policy = (capacity) => {
  const nodes = new Map<number, Node>()
  const [window, probation, safe] = [createList(), createList(), createList()]
  const windowSize = Math.max(1, Math.round(capacity / 100))
  const safeSize = Math.round((capacity - windowSize) * 0.8)
  const sketch = createSketch(capacity)

  const move = (node: Node, to: List) => {
    node.list?.remove(node)
    to.push(node)
  }
  return (key) => {
    sketch.add(key)
    const present = nodes.get(key)
    if (present) {
      move(present, present.list === window ? window : safe)
      const demoted = safe.size > safeSize ? safe.last() : undefined
      if (demoted) move(demoted, probation)
      return true
    }
    const node = newNode(key)
    nodes.set(key, node)
    window.push(node)
    const candidate = window.size > windowSize ? window.last() : undefined
    const victim = probation.last() ?? safe.last()
    if (candidate) move(candidate, probation)
    if (candidate && victim && nodes.size > capacity) {
      const loser = sketch.count(candidate.key) > sketch.count(victim.key) ? victim : candidate
      loser.list?.remove(loser)
      nodes.delete(loser.key)
    }
    return false
  }
}

function createSketch(capacity: number) {
  const width = 2 ** Math.ceil(Math.log2(capacity))
  const counters = new Uint8Array(4 * width)
  let additions = 0
  const at = (key: number, row: number) => {
    let hash = Math.imul(key + 0x9e3779b9 + Math.imul(row, 0x85ebca6b), 0xcc9e2d51)
    hash = Math.imul(hash ^ (hash >>> 15), 0x1b873593)
    return row * width + ((hash ^ (hash >>> 13)) & (width - 1))
  }
  const of = (key: number, row: number) => counters[at(key, row)] ?? 0
  return {
    add(key: number): void {
      for (let row = 0; row < 4; row++) if (of(key, row) < 15) counters[at(key, row)]!++
      if (++additions < 10 * capacity) return
      additions >>= 1
      for (let counter = 0; counter < counters.length; counter++) counters[counter]! >>= 1
    },
    count: (key: number) => Math.min(of(key, 0), of(key, 1), of(key, 2), of(key, 3)),
  }
}

type Node = { key: number; touched: boolean; list?: List | undefined; newer: Node; older: Node }
type List = ReturnType<typeof createList>

function newNode(key: number): Node {
  const node = { key, touched: false } as Node
  node.newer = node.older = node
  return node
}

/** A doubly linked ring: `push` adds the newest, `last` is the oldest. */
function createList() {
  const ring = newNode(-1)
  const real = (node: Node) => (node === ring ? undefined : node)
  const list = {
    size: 0,
    push(node: Node): void {
      node.list = list
      node.older = ring.older
      node.newer = ring
      ring.older.newer = node
      ring.older = node
      list.size++
    },
    remove(node: Node): void {
      node.older.newer = node.newer
      node.newer.older = node.older
      node.list = undefined
      list.size--
    },
    last: () => real(ring.newer),
    /** The next newer one. */
    before: (node: Node) => real(node.newer),
  }
  return list
}
