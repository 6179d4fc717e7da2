import { createCircuit, type Circuit } from '../circuit.ts'
import { isRefusal } from '../errors.ts'
import { defineScript } from '../script.ts'
import { before, late } from './before.ts'
import { prelude } from './prelude.ts'
import { createRefusals } from './refused.ts'
import { reissue } from './reissue.ts'
import { createRing, type Announcement, type Call, type Issue, type Ring } from './ring.ts'
import { createServerClock } from './server-clock.ts'
import type { Issued, ShardOptions } from './shard-options.ts'

const position = defineScript(new URL('./position.lua', import.meta.url), prelude)

/**
 * One sequence of messages, as one process follows it.
 *
 * - An *epoch* names one history. It is compared by equality only, and adopted only from an answer on the command
 *   connection, never from a message: after a failover numbers go back, and are used again for other messages.
 * - Within an epoch every message has the next number. An old one is ignored, the next one applied; a gap is filled from
 *   the log, and where that does not reach back everything is *lost*: the listener drops what it keeps.
 * - A new epoch: lost; then what this process announced lately is announced again, since the new history may lack it; only
 *   then is the process *trusted* again.
 * - Trust is proven by a heartbeat, for `trustWindowMs` from the moment it was sent. It is a write, which a master without
 *   replicas refuses, and brings what was missed. A subscriber connection that has fallen silent thus costs at most one
 *   heartbeat.
 */
export class Shard {
  /** Until when (on the clock `now`) what was derived from messages may be used. In the past while nothing is proven. */
  trustedUntilMs = -Infinity
  /** The history that is followed; empty before the first answer. */
  epoch = ''
  /** The last number applied. */
  sequence = 0
  /** Since when no answer proved anything. */
  lastProofMs = -Infinity
  readonly index: number
  readonly circuit: Circuit
  readonly clock: ReturnType<typeof createServerClock>
  readonly #options: ShardOptions
  readonly #ring: Ring
  readonly #refused: (cause: unknown) => void
  /** Numbers that arrived, and were applied, beyond a gap. */
  readonly #early = new Set<number>()
  /** Issues that the present epoch may lack. */
  #dirty = false
  /** They are being announced again. */
  #settling = false
  #closed = false
  #looking: Promise<void> | undefined
  #lookAgain = false
  #wasTrusted = false

  constructor(options: ShardOptions) {
    const { index, log, redis, now } = options
    this.index = index
    this.#options = options
    this.#ring = createRing(options.ring)
    this.#refused = createRefusals(options)
    this.clock = createServerClock(options)
    this.circuit = createCircuit({
      failures: 3,
      onChange: (state, cause) => {
        const about = { redis: redis.name, shard: index }
        if (state === 'closed') log.info(about, `Redis ${redis.name} answers again`)
        else
          log.warn(
            { ...about, err: cause },
            `Redis ${redis.name} fails or is slow: it is not asked`,
          )
      },
    })
    this.lastProofMs = now()
  }

  /** Nothing that this process announced is waiting to be delivered. */
  get settled(): boolean {
    return !this.#dirty && !this.#settling
  }

  /** How many announcements are kept to be sent again if a failover loses them. */
  get kept(): number {
    return this.#ring.size
  }

  /** Whether an operation may be sent now. */
  get available(): boolean {
    return this.#options.redis.state === 'ready' && this.circuit.state === 'closed'
  }

  /** A message: `<epoch> <number> <payload>`. */
  receive(message: string): void {
    const first = message.indexOf(' ')
    const second = message.indexOf(' ', first + 1)
    if (message.slice(0, first) !== this.epoch) {
      // Not to be adopted from here; but whatever it says, it was invalidated in some history.
      if (this.epoch !== '') this.#lose()
      this.look()
      return
    }
    const number = Number(message.slice(first + 1, second))
    if (number <= this.sequence) return
    this.#options.listener.apply(message.slice(second + 1))
    if (number === this.sequence + 1) {
      this.sequence = number
      if (this.#early.size > 0) this.#advance()
    } else {
      this.#early.add(number)
      this.distrust()
      this.look()
    }
  }

  /** The connection broke: the next one may lead to a history that lacks what was announced. */
  doubt(): void {
    this.#dirty = true
  }

  /** For good. */
  close(): void {
    this.#closed = true
    this.distrust()
  }

  /** Nothing kept may be used until the next proof. */
  distrust(): void {
    this.trustedUntilMs = -Infinity
    this.#report(false)
  }

  /** Asks the server where the channel stands; at once, or again after the answer that is under way. */
  look(): void {
    if (this.#looking) {
      this.#lookAgain = true
      return
    }
    this.#looking = this.#look().finally(() => {
      this.#looking = undefined
      const again = this.#lookAgain
      this.#lookAgain = false
      if (again) this.look()
    })
  }

  /** Every heartbeat. */
  beat(): void {
    if (!this.#looking) this.look()
    const { now, trustWindowMs } = this.#options
    if (now() - this.lastProofMs > trustWindowMs) this.#report(false)
  }

  async announce(announcement: Announcement): Promise<Issued> {
    const { now, deadlineMs } = this.#options
    const issue = this.#ring.add(announcement, now())
    if (!this.available) return this.#defer(issue)
    const issued = await before(deadlineMs, this.#send(issue))
    if (issued === late) this.circuit.failed(new Error(`no answer within ${deadlineMs} ms`))
    return issued === late || issued === undefined ? this.#defer(issue) : issued
  }

  async #send(issue: Issue): Promise<Issued | undefined> {
    try {
      const reply = await this.#run(issue, issue.first)
      issue.flying = false
      this.circuit.succeeded()
      const [epoch, sequence] = [String(reply[0]), Number(reply[1])]
      issue.epoch = epoch
      if (epoch !== this.epoch) {
        // Another history than the one that is followed. Find out which is right; that announces it again if need be.
        this.#dirty = true
        this.look()
        await this.#looked()
        if (issue.epoch !== this.epoch) return undefined
      }
      return { outcome: 'applied', epoch, sequence, reply }
    } catch (cause) {
      issue.flying = false
      if (!isRefusal(cause)) this.circuit.failed(cause)
      return undefined
    }
  }

  async #looked(): Promise<void> {
    while (this.#looking) await this.#looking
  }

  #defer(issue: Issue): Issued {
    // A late answer may still show that it was executed; sending it again does no harm.
    issue.flying = false
    if (issue.epoch === undefined || issue.epoch !== this.epoch) {
      this.#dirty = true
      this.distrust()
      if (this.available) this.look()
    }
    return { outcome: 'deferred' }
  }

  async #run(announcement: Announcement, { script, keys, args }: Call = announcement) {
    const { redis, channel, index, kept, keys: own } = this.#options
    const { payload } = announcement
    const reply = await redis.run(script, {
      keys: [own.sequence, own.log, ...keys],
      args: [`${channel} ${index} ${kept}`, payload, ...args],
    })
    return reply as unknown[]
  }

  async #look(): Promise<void> {
    const { redis, subscription, keys, now, deadlineMs, trustWindowMs } = this.#options
    if (redis.state !== 'ready') return
    const { active, times } = subscription()
    const sentAtMs = now()
    const [epochThen, sequenceThen] = [this.epoch, this.sequence]
    let reply: (string | number)[]
    try {
      reply = (await redis.run(position, {
        keys: [keys.sequence, keys.log, keys.mark],
        args: [epochThen, sequenceThen.toFixed(0)],
      })) as (string | number)[]
    } catch (cause) {
      if (isRefusal(cause)) this.#refused(cause)
      else this.circuit.failed(cause)
      return
    }
    const answeredAtMs = now()
    const [epoch = '', sequence = 0, time = 0, complete = 0, ...missed] = reply
    this.clock.sample(Number(time) / 1000, sentAtMs, answeredAtMs)
    const tookMs = answeredAtMs - sentAtMs
    if (tookMs <= this.#options.closeWithinMs) this.circuit.probed()
    else if (tookMs > deadlineMs)
      this.circuit.failed(new Error(`an answer took more than ${deadlineMs} ms`))

    if (complete === 1) {
      for (const entry of (missed as string[]).toReversed()) this.#applyLogged(entry)
    } else {
      this.#lose()
      if (this.epoch !== epoch) this.#dirty = true
      this.epoch = String(epoch)
      this.sequence = Number(sequence)
      this.#early.clear()
    }
    if (this.#dirty && !(await this.#settle())) return
    this.#ring.prune(answeredAtMs)
    if (this.#early.size > 0) this.#lookAgain = true
    // Something did not fit while this was under way; the next answer proves more.
    if (this.#closed || this.#lookAgain || !active || subscription().times !== times) return
    this.trustedUntilMs = sentAtMs + trustWindowMs
    this.lastProofMs = sentAtMs
    this.#report(true)
  }

  #applyLogged(entry: string): void {
    const space = entry.indexOf(' ')
    const number = Number(entry.slice(0, space))
    if (number <= this.sequence) return
    this.#options.listener.apply(entry.slice(space + 1))
    this.sequence = number
    if (this.#early.size > 0) this.#advance()
  }

  #advance(): void {
    for (const number of this.#early) if (number <= this.sequence) this.#early.delete(number)
    while (this.#early.delete(this.sequence + 1)) this.sequence += 1
  }

  /** Announces again what the present epoch may lack. Whether it has everything now. */
  async #settle(): Promise<boolean> {
    if (this.circuit.state === 'open') return false
    const { epoch } = this
    this.#dirty = false
    this.#settling = true
    const due = this.#ring.due(epoch)
    try {
      if (!(await reissue(due, epoch, (issue) => this.#run(issue)))) {
        this.#dirty = true
        return false
      }
    } finally {
      this.#settling = false
    }
    if (due.length > 0) {
      this.#options.log.info(
        { redis: this.#options.redis.name, shard: this.index, announcements: due.length },
        'what Redis may have lost was announced again',
      )
    }
    // What was deferred meanwhile is still due.
    return !this.#dirty
  }

  #lose(): void {
    this.distrust()
    this.#options.listener.lost()
  }

  #report(isTrusted: boolean): void {
    if (isTrusted === this.#wasTrusted) return
    this.#wasTrusted = isTrusted
    this.#options.listener.trusted(isTrusted)
  }
}
