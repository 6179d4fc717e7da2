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
export type CouponUse = CouponPurpose & {
  readonly code: string
  readonly userId: string
  /** Where there is one already; it is not another payment of the person. */
  readonly paymentId?: string
}

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
  const coupon = await findCoupon(db, use)
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
  return { code: coupon.code, discountMinor: discountOf(coupon, use) }
}

/** The coupon of this code, where its terms fit. Locks nothing and looks at no limit. Throws COUPON_REFUSED. */
export async function findCoupon(db: Kysely<DB>, use: CouponUse): Promise<CouponRow> {
  const coupon = await db
    .selectFrom('coupons')
    .selectAll()
    .where('folded_code', '=', foldCode(use.code))
    .executeTakeFirst()
  if (!coupon) throw unknownCoupon()
  discountOf(coupon, use)
  if (coupon.first_payment_only && (await hasAnotherPayment(db, use))) throw notTheFirst()
  return coupon
}

/**
 * Uses a coupon for a payment that holds its amount already: both counts grow, and the discount stands in the
 * reservation. Each limit is decided by the statement that counts, so of many at once exactly as many succeed as it
 * allows. Throws COUPON_REFUSED with the reason; then the transaction must be rolled back.
 */
export async function useCoupon(
  trx: Transaction<DB>,
  couponId: number,
  use: CouponPurpose & { readonly userId: string; readonly paymentId: string },
): Promise<number> {
  const coupon = await trx
    .updateTable('coupons')
    .set({ uses: sql`uses + 1` })
    .where('id', '=', couponId)
    .where(sql<boolean>`uses < coalesce(use_limit, 2147483647)`)
    .returningAll()
    .executeTakeFirst()
  if (!coupon) throw usedUp()
  const discountMinor = discountOf(coupon, use)
  const mine = await trx
    .insertInto('coupon_users')
    .values({ coupon_id: coupon.id, user_id: use.userId, uses: 1 })
    .onConflict((conflict) =>
      conflict
        .columns(['coupon_id', 'user_id'])
        .doUpdateSet({ uses: sql`coupon_users.uses + 1` })
        .where('coupon_users.uses', '<', coupon.user_limit ?? 2_147_483_647),
    )
    .returning('uses')
    .executeTakeFirst()
  if (!mine) throw usedUpByYou()
  await trx
    .updateTable('reservations')
    .set({ coupon_id: coupon.id, discount_minor: discountMinor })
    .where('payment_id', '=', use.paymentId)
    .execute()
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

/** Whether a person has a payment that succeeded or is under way, besides this one. */
async function hasAnotherPayment(
  db: Kysely<DB>,
  { userId, paymentId = '' }: Pick<CouponUse, 'userId' | 'paymentId'>,
): Promise<boolean> {
  const payment = await db
    .selectFrom('reservations')
    .select('payment_id')
    .where('user_id', '=', userId)
    .where('state', '<>', 'released')
    .where('payment_id', '<>', paymentId)
    .limit(1)
    .executeTakeFirst()
  return payment !== undefined
}
