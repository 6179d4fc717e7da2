export { newId, idSchema, type Id, type IdPrefix } from './ids.ts'
export { AmountMinor, Currency } from './money.ts'
export { Day, Timestamp } from './time.ts'
export { AppError, errorCodes, FieldError, ProblemDocument, type ErrorCode } from './errors.ts'
export {
  defineRoute,
  type Method,
  type RouteAuth,
  type RouteContract,
  type RouteInput,
  type RouteReply,
  type RouteRequest,
} from './route.ts'
export { services, type ServiceName } from './services.ts'
export { Email, Language, Preferences, Profile, Tokens, userRoutes } from './user.ts'
export { SecurityEvent, SecurityEventPage, Session, sessionRoutes } from './session.ts'
export { accountRoutes } from './account.ts'
export { operatorRoutes, SessionStatistics } from './operator.ts'
export {
  Bill,
  billingRoutes,
  BillLine,
  BillPage,
  BillQuery,
  BillState,
  BillSummary,
  Provider,
  Utility,
  UtilityAccount,
} from './billing.ts'
export { CouponCode, couponRoutes } from './coupon.ts'
export { Reservation, reservationRoutes } from './reservation.ts'
export { Payment, PaymentQuery, paymentRoutes, PaymentState, Refund } from './payment.ts'
export {
  EventEnvelope,
  eventTypes,
  type EventPayload,
  type EventType,
  type WattleEvent,
} from './events.ts'
