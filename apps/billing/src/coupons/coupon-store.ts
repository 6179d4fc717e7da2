import { isUniqueViolation } from '@wattle/database'
import { sql, type Insertable, type Kysely, type Transaction } from 'kysely'
import type { DB } from '../schema.ts'
import { foldCode } from './coupon-code.ts'
import {
  discountOf,
  notTheFirst,
  unknownCoupon,
  usedUp,
  usedUpByYou,
  type CouponPurpose,
  type CouponRow,
} from './coupon-rules.ts'

export type NewCoupon = Omit<Insertable<DB['coupons']>, 'id' | 'folded_code' | 'uses'>

/** Who wants to use a coupon, and for what. */
export type CouponUse = CouponPurpose & { readonly code: string; readonly userId: string }

/** Adds coupons whose codes are free; those that are taken, in whatever spelling, stay as they are. */
export async function addCoupons(db: Kysely<DB>, coupons: readonly NewCoupon[]): Promise<void> {
  await db
    .insertInto('coupons')
    .values(coupons.map((coupon) => ({ ...coupon, folded_code: foldCode(coupon.code) })))
    .onConflict((conflict) => conflict.column('folded_code').doNothing())
    .execute()
}

/** What a coupon would take off now; nothing is held. Throws COUPON_REFUSED with the reason. */
export async function previewCoupon(
  db: Kysely<DB>,
  use: CouponUse,
): Promise<{ code: string; discountMinor: number }> {
  const coupon = await findCoupon(db, use.code)
  const discountMinor = discountOf(coupon, use)
  if (coupon.use_limit !== null && coupon.uses >= coupon.use_limit) throw usedUp()
  if (coupon.user_limit !== null) {
    const mine = await db
      .selectFrom('coupon_users')
      .select('uses')
      .where('coupon_id', '=', coupon.id)
      .where('user_id', '=', use.userId)
      .executeTakeFirst()
    if (mine && mine.uses >= coupon.user_limit) throw usedUpByYou()
  }
  if (coupon.first_payment_only && (await hasPayment(db, use.userId))) throw notTheFirst()
  return { code: coupon.code, discountMinor }
}

/**
 * Uses a coupon for a payment that holds its amount already: both counts grow, and the discount stands in the
 * reservation. Each limit is decided by the statement that counts, or by a unique index, so of many at once exactly as
 * many succeed as it allows. Throws COUPON_REFUSED with the reason; then the transaction must be rolled back.
 */
export async function useCoupon(
  trx: Transaction<DB>,
  use: CouponUse & { readonly paymentId: string },
): Promise<number> {
  const { userId, paymentId } = use
  // Refused without a lock where that is possible: many payments share this row.
  const found = await findCoupon(trx, use.code)
  discountOf(found, use)
  if (found.first_payment_only && (await hasPayment(trx, userId, paymentId))) throw notTheFirst()

  const coupon = await trx
    .updateTable('coupons')
    .set({ uses: sql`uses + 1` })
    .where('id', '=', found.id)
    .where(sql<boolean>`uses < coalesce(use_limit, 2147483647)`)
    .returningAll()
    .executeTakeFirst()
  if (!coupon) throw usedUp()
  const discountMinor = discountOf(coupon, use)
  const mine = await trx
    .insertInto('coupon_users')
    .values({ coupon_id: coupon.id, user_id: userId, uses: 1 })
    .onConflict((conflict) =>
      conflict
        .columns(['coupon_id', 'user_id'])
        .doUpdateSet({ uses: sql`coupon_users.uses + 1` })
        .where('coupon_users.uses', '<', coupon.user_limit ?? 2_147_483_647),
    )
    .returning('uses')
    .executeTakeFirst()
  if (!mine) throw usedUpByYou()
  try {
    await trx
      .updateTable('reservations')
      .set({
        coupon_id: coupon.id,
        discount_minor: discountMinor,
        first_payment: coupon.first_payment_only,
      })
      .where('payment_id', '=', paymentId)
      .execute()
  } catch (error) {
    if (isUniqueViolation(error, 'one_first_payment')) throw notTheFirst(error)
    throw error
  }
  return discountMinor
}

/** Gives back one use, of a payment that ended without success. */
export async function giveBackCoupon(
  trx: Transaction<DB>,
  { couponId, userId }: { couponId: number; userId: string },
): Promise<void> {
  await trx
    .updateTable('coupons')
    .set({ uses: sql`uses - 1` })
    .where('id', '=', couponId)
    .execute()
  await trx
    .updateTable('coupon_users')
    .set({ uses: sql`uses - 1` })
    .where('coupon_id', '=', couponId)
    .where('user_id', '=', userId)
    .execute()
}

async function findCoupon(db: Kysely<DB>, code: string): Promise<CouponRow> {
  const coupon = await db
    .selectFrom('coupons')
    .selectAll()
    .where('folded_code', '=', foldCode(code))
    .executeTakeFirst()
  if (!coupon) throw unknownCoupon()
  return coupon
}

/** Whether a person has a payment that succeeded or is under way, but for this one. */
async function hasPayment(db: Kysely<DB>, userId: string, but = ''): Promise<boolean> {
  const payment = await db
    .selectFrom('reservations')
    .select('payment_id')
    .where('user_id', '=', userId)
    .where('state', '<>', 'released')
    .where('payment_id', '<>', but)
    .limit(1)
    .executeTakeFirst()
  return payment !== undefined
}
