import {
  accountRoutes,
  billingRoutes,
  couponRoutes,
  operatorRoutes,
  paymentRoutes,
  sessionRoutes,
  userRoutes,
  type RouteContract,
} from '@wattle/contracts'

export type Routes = Readonly<Record<string, RouteContract>>

/** What can be reached from outside, under `/api`: these services' contracts, but for those that are for services. */
export const exposedServices = {
  user: { ...userRoutes, ...sessionRoutes, ...accountRoutes, ...operatorRoutes },
  payment: paymentRoutes,
  billing: { ...billingRoutes, ...couponRoutes },
} as const satisfies Readonly<Record<string, Routes>>

export type ExposedService = keyof typeof exposedServices
