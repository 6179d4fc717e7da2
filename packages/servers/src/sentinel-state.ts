import { readFileSync } from 'node:fs'
import type { RedisAddress } from './redis-query.ts'

/** What a Sentinel wrote into its configuration file about one group. */
export interface SavedGroup extends RedisAddress {
  /** Grows with each failover; the higher one is the newer. */
  configEpoch: number
  leaderEpoch: number
}

/** What a Sentinel remembers in its configuration file. */
export interface SavedSentinel {
  id: string | undefined
  currentEpoch: number
  groups: Readonly<Record<string, SavedGroup>>
}

/** Reads the memory out of a Sentinel's configuration file. */
export function parseSentinelState(text: string): SavedSentinel {
  const words = text.split('\n').map((line) => line.trim().split(/\s+/))
  const lines = words.filter(([first]) => first === 'sentinel').map((line) => line.slice(1))
  const find = (...start: string[]) =>
    lines.find((line) => start.every((word, index) => line[index] === word))
  const groups: Record<string, SavedGroup> = {}
  for (const [directive, group = '', host = '', port] of lines) {
    if (directive !== 'monitor') continue
    groups[group] = {
      host: host.replaceAll('"', ''),
      port: Number(port),
      configEpoch: Number(find('config-epoch', group)?.[2] ?? 0),
      leaderEpoch: Number(find('leader-epoch', group)?.[2] ?? 0),
    }
  }
  return {
    id: find('myid')?.[1],
    currentEpoch: Number(find('current-epoch')?.[1] ?? 0),
    groups,
  }
}

/** The saved state in this file; undefined where there is none that can be read. */
export function readSentinelState(file: string): SavedSentinel | undefined {
  try {
    return parseSentinelState(readFileSync(file, 'utf8'))
  } catch {
    return undefined
  }
}

/**
 * The master of a group according to what Sentinels saved or answer: the newest configuration wins,
 * since a Sentinel that was away during a failover still remembers the old one.
 */
export function newestMaster<T extends { configEpoch: number }>(
  known: readonly (T | undefined)[],
): T | undefined {
  return known
    .filter((each) => each !== undefined)
    .reduce<T | undefined>((a, b) => (a && a.configEpoch >= b.configEpoch ? a : b), undefined)
}
