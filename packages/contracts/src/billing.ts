import { Type, type Static } from 'typebox'
import { idSchema } from './ids.ts'
import { AmountMinor, Currency } from './money.ts'
import { defineRoute } from './route.ts'
import { Day, Timestamp } from './time.ts'

const closed = { additionalProperties: false }

export const Utility = Type.Enum(['electricity', 'water', 'gas', 'internet'])
export type Utility = Static<typeof Utility>

export const BillState = Type.Enum(['draft', 'open', 'partially_paid', 'paid', 'overdue', 'void'])
export type BillState = Static<typeof BillState>

export const Provider = Type.Object({
  id: idSchema('prv'),
  name: Type.String(),
  utility: Utility,
  region: Type.String(),
  currency: Currency,
})
export type Provider = Static<typeof Provider>

/** One line of a bill: consumption, a fixed charge, a fee or a tax. */
export const BillLine = Type.Object({
  kind: Type.Enum(['usage', 'fixed', 'fee', 'tax']),
  description: Type.String(),
  amountMinor: AmountMinor,
})
export type BillLine = Static<typeof BillLine>

/** A bill as a list shows it. `totalMinor` is the sum of its lines; due is `totalMinor - paidMinor`. */
export const BillSummary = Type.Object({
  id: idSchema('bil'),
  providerId: idSchema('prv'),
  providerName: Type.String(),
  utility: Utility,
  customerNumber: Type.String({ description: 'Meter or account number at the provider' }),
  state: BillState,
  currency: Currency,
  totalMinor: AmountMinor,
  paidMinor: AmountMinor,
  periodStart: Day,
  periodEnd: Day,
  dueDate: Day,
  issuedAt: Timestamp,
})
export type BillSummary = Static<typeof BillSummary>

export const Bill = Type.Object({ ...BillSummary.properties, lines: Type.Array(BillLine) })
export type Bill = Static<typeof Bill>

/** A meter or customer account at a provider, linked to a person. */
export const UtilityAccount = Type.Object({
  id: idSchema('acc'),
  providerId: idSchema('prv'),
  customerNumber: Type.String(),
  createdAt: Timestamp,
})
export type UtilityAccount = Static<typeof UtilityAccount>

export const BillPage = Type.Object({
  items: Type.Array(BillSummary),
  nextCursor: Type.Union([Type.String(), Type.Null()], {
    description: 'Hand it in as `cursor` for the next page; null on the last',
  }),
})
export type BillPage = Static<typeof BillPage>

export const BillQuery = Type.Object(
  {
    state: Type.Optional(BillState),
    utility: Type.Optional(Utility),
    providerId: Type.Optional(idSchema('prv')),
    dueFrom: Type.Optional(Day),
    dueTo: Type.Optional(Day),
    limit: Type.Integer({ minimum: 1, maximum: 100, default: 20 }),
    cursor: Type.Optional(
      Type.String({ minLength: 1, maxLength: 200, pattern: '^[A-Za-z0-9_-]+$' }),
    ),
  },
  closed,
)
export type BillQuery = Static<typeof BillQuery>

export const billingRoutes = {
  listProviders: defineRoute({
    name: 'listProviders',
    method: 'GET',
    path: '/providers',
    summary: 'The utility companies whose bills can be paid here',
    auth: 'public',
    query: Type.Object({ utility: Type.Optional(Utility) }, closed),
    replies: { 200: Type.Object({ items: Type.Array(Provider) }) },
  }),
  listBills: defineRoute({
    name: 'listBills',
    method: 'GET',
    path: '/bills',
    summary: 'Your bills, the latest due date first',
    auth: 'user',
    query: BillQuery,
    replies: { 200: BillPage },
  }),
  getBill: defineRoute({
    name: 'getBill',
    method: 'GET',
    path: '/bills/:billId',
    summary: 'One of your bills, with its lines',
    auth: 'user',
    params: Type.Object({ billId: idSchema('bil') }, closed),
    replies: { 200: Bill },
    errors: ['NOT_FOUND'],
  }),
  linkAccount: defineRoute({
    name: 'linkAccount',
    method: 'POST',
    path: '/bills/accounts',
    summary: 'Link your meter or customer account at a provider; its bills appear in your list',
    auth: 'user',
    body: Type.Object(
      {
        providerId: idSchema('prv'),
        customerNumber: Type.String({
          pattern: '^[0-9]{8,13}$',
          description: '8 to 13 digits, as printed on the bill',
        }),
      },
      closed,
    ),
    replies: { 201: UtilityAccount },
    errors: ['NOT_FOUND', 'ACCOUNT_LINKED'],
  }),
  listAccounts: defineRoute({
    name: 'listAccounts',
    method: 'GET',
    path: '/bills/accounts',
    summary: 'Your linked utility accounts',
    auth: 'user',
    replies: { 200: Type.Object({ items: Type.Array(UtilityAccount) }) },
  }),
} as const
