import type { Algorithm, Policy } from '../../src/index.ts'

/** Whether a call of so many units is allowed, and then charged. */
export type Model = (atUs: number, units: number) => boolean

/** What an algorithm must decide, written for clearness: it remembers every unit, and counts in big integers. */
export function modelOf(policy: Policy): Model {
  return models[policy.algorithm](policy)
}

const models: Record<Algorithm, (policy: Policy) => Model> = {
  'fixed-window': fixedWindow,
  'sliding-log': slidingLog,
  'sliding-counter': slidingCounter,
  'token-bucket': bucket,
  'leaky-bucket': bucket,
}

function ledger() {
  const times: number[] = []
  return {
    from: (us: number) => times.filter((time) => time >= us).length,
    charge(atUs: number, units: number): true {
      for (let unit = 0; unit < units; unit++) times.push(atUs)
      return true
    },
  }
}

function slidingLog({ limit, windowMs }: Policy): Model {
  const { from, charge } = ledger()
  return (atUs, units) => from(atUs - windowMs * 1000 + 1) + units <= limit && charge(atUs, units)
}

function fixedWindow({ limit, windowMs }: Policy): Model {
  const { from, charge } = ledger()
  let beganUs: number | undefined
  return (atUs, units) => {
    if (beganUs !== undefined && atUs >= beganUs + windowMs * 1000) beganUs = undefined
    const counted = beganUs === undefined ? 0 : from(beganUs)
    if (counted + units > limit) return false
    beganUs ??= atUs
    return charge(atUs, units)
  }
}

function slidingCounter({ limit, windowMs }: Policy): Model {
  const { from, charge } = ledger()
  const windowUs = windowMs * 1000
  return (atUs, units) => {
    const began = Math.floor(atUs / windowUs) * windowUs
    const current = from(began)
    const previous = from(began - windowUs) - current
    // previous × left / window + current + units <= limit, without a fraction.
    const weighted = BigInt(previous) * BigInt(windowUs - (atUs - began))
    const room = BigInt(limit - current - units) * BigInt(windowUs)
    return weighted <= room && charge(atUs, units)
  }
}

/** Tokens as they drip in, one an interval; what overflows is lost. */
function bucket({ limit, capacity, windowMs }: Policy): Model {
  const interval = BigInt(Math.ceil((windowMs * 1000) / limit))
  const full = BigInt(capacity) * interval
  let level = full
  let last: bigint | undefined
  return (atUs, units) => {
    const at = BigInt(atUs)
    level += at - (last ?? at)
    if (level > full) level = full
    last = at
    const price = BigInt(units) * interval
    if (level < price) return false
    level -= price
    return true
  }
}
