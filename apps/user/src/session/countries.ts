import { isIP } from 'node:net'
import type { CountryOf } from './origin.ts'

type Range = { readonly from: bigint; readonly to: bigint; readonly country: string }

/**
 * Tells the country of an address from the text of a table: one `network,country` a line, such as `203.0.113.0/24,NG`,
 * as GeoIP databases are exported; lines that begin with `#` are comments. Networks must not overlap. Throws an Error
 * that names the line which is no such thing.
 */
export function countriesFrom(text: string): CountryOf {
  const ranges: Record<4 | 6, Range[]> = { 4: [], 6: [] }
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue
    const [, address = '', bits = '', country = ''] =
      /^([0-9a-f.:]+)\/(\d{1,3}),([A-Z]{2})\s*$/i.exec(line) ?? []
    const family = isIP(address)
    const width = family === 4 ? 32 : 128
    if ((family !== 4 && family !== 6) || Number(bits) > width) {
      throw new Error(`line ${index + 1} is not "network,country", such as 203.0.113.0/24,NG`)
    }
    const size = 1n << BigInt(width - Number(bits))
    const from = (numberOf(address) / size) * size
    ranges[family].push({ from, to: from + size - 1n, country: country.toUpperCase() })
  }
  const sorted = {
    4: ranges[4].toSorted((a, b) => (a.from < b.from ? -1 : 1)),
    6: ranges[6].toSorted((a, b) => (a.from < b.from ? -1 : 1)),
  }
  return (address) => {
    const family = isIP(address)
    return family === 4 || family === 6 ? find(sorted[family], numberOf(address)) : null
  }
}

function find(ranges: readonly Range[], wanted: bigint): string | null {
  let low = 0
  let high = ranges.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((ranges[middle]?.from ?? 0n) <= wanted) low = middle + 1
    else high = middle
  }
  const range = ranges[low - 1]
  return range !== undefined && wanted <= range.to ? range.country : null
}

function numberOf(address: string): bigint {
  if (isIP(address) === 4) {
    return address.split('.').reduce((sum, part) => sum * 256n + BigInt(part), 0n)
  }
  const [head = '', tail] = address.split('::')
  const groups = (text: string) => (text === '' ? [] : text.split(':'))
  const first = groups(head)
  const last = groups(tail ?? '')
  const zeros = Array.from({ length: 8 - first.length - last.length }, () => '0')
  return [...first, ...(tail === undefined ? [] : zeros), ...last].reduce(
    (sum, group) => sum * 65_536n + BigInt(`0x${group}`),
    0n,
  )
}
