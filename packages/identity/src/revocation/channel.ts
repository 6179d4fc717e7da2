/** What a channel tells whoever listens. */
export type ChannelListener = {
  /** The next message of this shard; in order, none left out. */
  message(shard: number, payload: string): void
  /** Messages may be missing, as at the very start: reload from the source before trusting what is known. */
  lost(shard: number): void
}

/**
 * A sequenced channel over one Redis group: every process that listens gets every message in order, or is told that it
 * lost some, and knows until when it can be sure of that.
 */
export type Channel = {
  /** `applied`: a master has it. `deferred`: it could not be reached; issue it again. */
  issue(message: { shard?: number; payload: string }): Promise<'applied' | 'deferred'>
  /** On the scale of `performance.now()`; in the past while it cannot prove that nothing is missing. */
  trustedUntilMs(shard: number): number
  close(): Promise<void> | void
}

/** Opens a channel; its listener belongs to it from the start, so that nothing is missed. */
export type OpenChannel = (listener: ChannelListener) => Channel
