import { types, type CustomTypesConfig } from 'pg'

const int8 = 20
const date = 1082
const textArray = 1009
const int8Array = 1016
const dateArray = 1182

type Parser = (text: string) => unknown
const defaultParser: (oid: number, format?: 'text' | 'binary') => Parser = types.getTypeParser

/**
 * How values arrive from the server: `int8` as a number (an error past 2^53 - 1, never a rounded amount), `date` as the
 * text YYYY-MM-DD (a day has no time zone), everything else as pg does it: `timestamptz` as Date, `numeric` as text.
 */
export const typeParsers: CustomTypesConfig = {
  getTypeParser(oid: number, format?: 'text' | 'binary'): Parser {
    if (format === 'binary') return defaultParser(oid, format)
    if (oid === int8) return parseInt8
    if (oid === date) return (text) => text
    if (oid === int8Array) return (text) => mapArray(defaultParser(textArray)(text), parseInt8)
    if (oid === dateArray) return defaultParser(textArray)
    return defaultParser(oid)
  },
}

function parseInt8(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value)) {
    throw new RangeError(`int8 value ${text} is not a safe integer; cast it to text in the query`)
  }
  return value
}

function mapArray(value: unknown, parse: Parser): unknown {
  if (Array.isArray(value)) return value.map((item) => mapArray(item, parse))
  return typeof value === 'string' ? parse(value) : value
}
