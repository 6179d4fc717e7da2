import type { NewCoupon } from './coupon-store.ts'

/** Coupons to try things out with. */
export const demoCoupons: readonly NewCoupon[] = [
  { code: 'WELCOME-10', percent_bp: 1_000, first_payment_only: true, user_limit: 1 },
  { code: 'SAVE-500', off_minor: 50_000, currency: 'NGN', minimum_minor: 500_000, user_limit: 3 },
  { code: 'FIRST-COME', percent_bp: 2_500, use_limit: 10, user_limit: 1 },
]
