/**
 * How much a process asks of one shard at once. What comes on top waits here, in order, and is sent when there is room: its
 * deadline begins then, for waiting for one's own turn says nothing about Redis.
 */
export type Window<Job> = {
  /** What is asked for in one turn: sent in commands of some size, now or later. */
  add(jobs: Job[]): void
  /** Those that wait for their turn. */
  waiting(): readonly Job[]
  /** A command is no longer under way; `weight` as `send` was told. `next` follows. */
  ended(weight: number, how: 'answered' | 'failed'): void
  /** Something of it has to be asked for again; it comes before all others. `next` follows. */
  again(jobs: Job[]): void
  /** Sends what there is room for now. */
  next(): void
  /** Nobody waits any longer. */
  refuse(): void
}

/**
 * Bytes under way. With 1 Gbit/s they take a fourth of a read's deadline, which leaves room for a busy processor; and more
 * under way makes nothing faster.
 */
const mostBytes = 2 * 1024 * 1024
/** In one command, unless one job alone has more. */
export const mostBytesInOne = mostBytes / 4
/** As many jobs and keys (tags are keys too) as one command answers without holding up others. */
const mostJobs = 128
const mostKeys = 512
const leastShare = 1 / 16

export type WindowBounds = {
  now: () => number
  /** Nobody waits longer: by then Redis is too slow for what is asked of it. */
  patienceMs?: number
  /** Among which the process divides what it may have under way. */
  shards?: number
  /** Commands under way. */
  most?: number
  /** Jobs in one of them. */
  mostTogether?: number
}

export function createWindow<Job>({
  keysOf,
  bytesOf,
  send,
  refuse: refuseOne,
  mayAsk,
  now,
  patienceMs = Infinity,
  shards = 1,
  most = 8,
  mostTogether = mostJobs,
}: WindowBounds & {
  keysOf: (job: Job) => number
  /** Of its request or its reply, whichever is large. */
  bytesOf: (job: Job) => number
  /** Sends one command. */
  send: (jobs: Job[], weight: number) => void
  /** For who waited in vain. */
  refuse: (job: Job) => void
  /** Whether who has waited may still be sent. */
  mayAsk: () => boolean
}): Window<Job> {
  const mostCommands = Math.max(2, Math.ceil(most / shards))
  const bound = mostBytes / shards
  let commands = 0
  let bytes = 0
  /** Of the bound: half of it after each failure, and a little more after each answer. */
  let share = 1
  let weight = 0
  /** Those before `head` are gone. */
  let waiting: Job[] = []
  let since: number[] = []
  let head = 0

  /** Where the command that begins at `from` ends; `from` itself, when there is no room for it. Its weight is in `weight`. */
  function endOf(jobs: readonly Job[], from: number): number {
    if (commands >= mostCommands) return from
    const room = bound * share
    const last = Math.min(jobs.length, from + mostTogether)
    let keys = 0
    let to = from
    weight = 0
    for (; to < last; to++) {
      const job = jobs[to] as Job
      const moreKeys = keysOf(job)
      const more = bytesOf(job)
      if (to > from && (keys + moreKeys > mostKeys || weight + more > room / 4)) break
      keys += moreKeys
      weight += more
    }
    return commands > 0 && bytes + weight > room ? from : to
  }

  function begin(jobs: Job[]): void {
    commands++
    bytes += weight
    send(jobs, weight)
  }

  function drop(): Job[] {
    const dropped = head === 0 ? waiting : waiting.slice(head)
    waiting = []
    since = []
    head = 0
    return dropped
  }

  function refuse(): void {
    if (waiting.length > 0) for (const job of drop()) refuseOne(job)
  }

  function next(): void {
    if (waiting.length === 0) return
    if (!mayAsk() || now() - (since[head] as number) > patienceMs) return refuse()
    while (head < waiting.length) {
      const to = endOf(waiting, head)
      if (to === head) break
      const jobs = waiting.slice(head, to)
      head = to
      begin(jobs)
    }
    if (head === waiting.length) drop()
    else if (head > 1_024) {
      waiting = waiting.slice(head)
      since = since.slice(head)
      head = 0
    }
  }

  return {
    waiting: () => (head === 0 ? waiting : waiting.slice(head)),
    add(jobs) {
      let from = 0
      if (waiting.length === 0) {
        for (let to; from < jobs.length && (to = endOf(jobs, from)) > from; from = to) {
          begin(from === 0 && to === jobs.length ? jobs : jobs.slice(from, to))
        }
        if (from === jobs.length) return
      }
      const atMs = now()
      for (; from < jobs.length; from++) {
        waiting.push(jobs[from] as Job)
        since.push(atMs)
      }
      next()
    },
    ended(ofWeight, how) {
      commands--
      bytes -= ofWeight
      if (how === 'failed') share = Math.max(leastShare, share / 2)
      else if (share < 1) share = Math.min(1, share * 1.06)
    },
    again(jobs) {
      const atMs = now()
      const rest = since.slice(head)
      waiting = [...jobs, ...drop()]
      since = [...jobs.map(() => atMs), ...rest]
    },
    next,
    refuse,
  }
}
