/** When the generation of each kind last moved, as one key of a shard says. */
export type Generations = {
  /** The sequence that an entry of the kind must not be older than. */
  of(kind: string): number
}

const none: Generations = { of: () => 0 }

/** Reads the key; it changes seldom, so the last one is kept. */
export function createGenerationsReader(): (raw: Buffer | null | undefined) => Generations {
  let lastRaw: Buffer | undefined
  let last = none
  return (raw) => {
    if (!raw) return none
    if (lastRaw?.equals(raw)) return last
    lastRaw = Buffer.from(raw)
    last = parse(raw)
    return last
  }
}

function parse(raw: Buffer): Generations {
  const moves = JSON.parse(raw.toString()) as Record<string, [move: string, fence: string]>
  const everything = Number(moves['*']?.[0] ?? 0)
  const kinds = new Map(
    Object.entries(moves).map(([kind, [move]]) => [kind, Math.max(Number(move), everything)]),
  )
  return { of: (kind) => kinds.get(kind) ?? everything }
}
