import { AppError, type Currency } from '@wattle/contracts'
import type { Selectable } from 'kysely'
import type { DB } from '../schema.ts'

export type CouponRow = Selectable<DB['coupons']>

/** What a coupon is to be used for. */
export type CouponPurpose = {
  readonly providerId: string
  readonly currency: Currency
  readonly amountMinor: number
  readonly now: Date
}

/**
 * What a coupon takes off, in whole minor units: parts of one are rounded down, and at least one is left to be
 * charged. Throws COUPON_REFUSED with the reason where its terms do not fit, or nothing would be taken off.
 *
 * How often it was used is not looked at here.
 */
export function discountOf(coupon: CouponRow, purpose: CouponPurpose): number {
  const { providerId, currency, amountMinor, now } = purpose
  if (!coupon.active) throw unknownCoupon()
  if (coupon.valid_from && now < coupon.valid_from) {
    throw refusedCoupon(`This coupon is valid from ${coupon.valid_from.toISOString()} on.`)
  }
  if (coupon.valid_until && now >= coupon.valid_until) {
    throw refusedCoupon('This coupon is no longer valid.')
  }
  if (coupon.currency && coupon.currency !== currency) {
    throw refusedCoupon(`This coupon is for bills in ${coupon.currency}.`)
  }
  if (coupon.provider_ids && !coupon.provider_ids.includes(providerId)) {
    throw refusedCoupon('This coupon is not for bills of this provider.')
  }
  if (amountMinor < coupon.minimum_minor) {
    throw refusedCoupon(
      `This coupon needs a payment of at least ${coupon.minimum_minor} ${currency} (minor units).`,
    )
  }
  const offMinor = coupon.off_minor ?? percentOf(amountMinor, coupon.percent_bp ?? 0)
  const discountMinor = Math.min(offMinor, amountMinor - 1)
  if (discountMinor === 0) throw refusedCoupon('This coupon takes nothing off so small an amount.')
  return discountMinor
}

export const refusedCoupon = (reason: string, cause?: unknown) =>
  new AppError('COUPON_REFUSED', reason, cause === undefined ? {} : { cause })

/** Also for one that was withdrawn: who guesses codes learns nothing. */
export const unknownCoupon = () => refusedCoupon('There is no such coupon.')
export const usedUp = () => refusedCoupon('This coupon has been used up.')
export const usedUpByYou = () => refusedCoupon('You have used this coupon as often as it allows.')
export const notTheFirst = (cause?: unknown) =>
  refusedCoupon('This coupon is for a first payment; you have made or begun one.', cause)

/** The product may be past what a double holds exactly. */
function percentOf(amountMinor: number, basisPoints: number): number {
  return Number((BigInt(amountMinor) * BigInt(basisPoints)) / 10_000n)
}
