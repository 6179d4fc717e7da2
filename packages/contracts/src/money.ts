import { Type, type Static } from 'typebox'

/** Currencies that Wattle bills in (ISO 4217). */
export const Currency = Type.Enum(['NGN', 'USD'], {
  description: 'ISO 4217 code',
})
export type Currency = Static<typeof Currency>

/** An amount in integer minor units (kobo, cents); never negative, never past what a double holds exactly. */
export const AmountMinor = Type.Integer({
  minimum: 0,
  maximum: Number.MAX_SAFE_INTEGER,
  description: 'Integer minor units of the currency (kobo, cents)',
})
