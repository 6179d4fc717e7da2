import { Type } from 'typebox'

/**
 * A calendar day. Years have four digits and begin at 1000: PostgreSQL knows no year 0, and nobody means the year 26.
 */
export const Day = Type.String({
  format: 'date',
  pattern: '^[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}$',
  description: 'YYYY-MM-DD',
})

/** A moment (RFC 3339), less the leap second, which `Date` cannot read. */
export const Timestamp = Type.String({
  format: 'date-time',
  pattern:
    '^[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-][01][0-9]:[0-5][0-9])$',
})
