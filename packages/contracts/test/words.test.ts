import { describe, expect, test } from 'vitest'
import { Compile } from 'typebox/compile'
import type { TSchema } from 'typebox'
import {
  AmountMinor,
  AppError,
  Day,
  errorCodes,
  idSchema,
  newId,
  ProblemDocument,
  Timestamp,
  type ErrorCode,
} from '@wattle/contracts'

const accepts = (schema: TSchema, value: unknown) => Compile(schema).Check(value)

describe('an id', () => {
  test('says by its prefix what it names, and fits its own schema alone', () => {
    const id = newId('bil')
    expect(accepts(idSchema('bil'), id)).toBe(true)
    expect(accepts(idSchema('usr'), id)).toBe(false)
  })

  test('sorts by the time of its making', () => {
    const ids = Array.from({ length: 1_000 }, () => newId('evt'))
    expect(ids.toSorted((a, b) => (a < b ? -1 : 1))).toEqual(ids)
    expect(new Set(ids).size).toBe(ids.length)
  })

  test.each([
    'bil_',
    'bil_1',
    'BIL_0190a5a0-0000-7000-8000-000000000000',
    'bil_0190A5A0-0000-7000-8000-000000000000',
    ' bil_0190a5a0-0000-7000-8000-000000000000',
    'bil_0190a5a0-0000-7000-8000-000000000000\n',
    "bil_0190a5a0-0000-7000-8000-000000000000' or 1=1",
    '0190a5a0-0000-7000-8000-000000000000',
    5,
    null,
  ])('is not %j', (value) => {
    expect(accepts(idSchema('bil'), value)).toBe(false)
  })
})

describe('an amount', () => {
  test.each([0, 1, 125_000, Number.MAX_SAFE_INTEGER])('can be %s', (amount) => {
    expect(accepts(AmountMinor, amount)).toBe(true)
  })

  test.each([-1, 0.5, 1.1, 2 ** 53, 1e300, NaN, Infinity, '125', null, 5n])(
    'cannot be %s',
    (amount) => {
      expect(accepts(AmountMinor, amount)).toBe(false)
    },
  )
})

describe('a day and a moment', () => {
  test.each(['2026-03-31', '2024-02-29', '1000-01-01', '9999-12-31'])('%s is a day', (day) => {
    expect(accepts(Day, day)).toBe(true)
  })

  test.each([
    '0000-01-01',
    '2026-02-29',
    '2026-13-01',
    '2026-1-1',
    '26-01-01',
    '2026-01-01T00:00:00Z',
    ' 2026-01-01',
  ])('%s is no day', (day) => {
    expect(accepts(Day, day)).toBe(false)
  })

  test.each([
    '2026-03-31T08:30:00Z',
    '2026-03-31T08:30:00.123Z',
    '2026-03-31T08:30:00+01:00',
    '2026-03-31T08:30:00.123456-11:30',
  ])('%s is a moment, which Date can read', (moment) => {
    expect(accepts(Timestamp, moment)).toBe(true)
    expect(new Date(moment).getTime()).not.toBeNaN()
  })

  test.each([
    '0000-01-01T00:00:00Z',
    '2026-12-31T23:59:60Z',
    '2026-03-31T08:30:00',
    '2026-03-31 08:30:00Z',
    '2026-02-30T00:00:00Z',
    '2026-03-31T08:30:00+99:00',
    '2026-03-31T24:00:00Z',
  ])('%s is no moment', (moment) => {
    expect(accepts(Timestamp, moment)).toBe(false)
  })
})

describe('an error code', () => {
  const codes = Object.entries(errorCodes) as [ErrorCode, (typeof errorCodes)[ErrorCode]][]

  test.each(codes)('%s is an HTTP error with a title of its own', (code, { status, title }) => {
    expect(code).toMatch(/^[A-Z]+(_[A-Z]+)*$/)
    expect(status).toBeGreaterThanOrEqual(400)
    expect(status).toBeLessThan(600)
    expect(codes.filter(([, other]) => other.title === title)).toHaveLength(1)
    expect(title).not.toMatch(/\.$/)
  })

  test('gives an AppError its status; the cause is not among what is sent', () => {
    const error = new AppError('NOT_FOUND', 'There is no such bill.', {
      cause: new Error('select …'),
      retryAfterSeconds: 3,
    })
    expect(error).toBeInstanceOf(Error)
    expect(error).toMatchObject({
      name: 'AppError',
      status: 404,
      message: 'There is no such bill.',
      retryAfterSeconds: 3,
    })
    expect(JSON.stringify(error)).not.toContain('select')
    expect('cause' in new AppError('NOT_FOUND', 'x')).toBe(false)
  })

  test('fits a problem document', () => {
    const { status, title } = errorCodes.NOT_FOUND
    const document = {
      type: 'urn:wattle:problem:not-found',
      title,
      status,
      code: 'NOT_FOUND',
      detail: 'x',
      requestId: 'req_1',
    }
    expect(accepts(ProblemDocument, document)).toBe(true)
    expect(
      accepts(ProblemDocument, { ...document, errors: [{ in: 'body', field: 'a', problem: 'b' }] }),
    ).toBe(true)
    expect(
      accepts(ProblemDocument, {
        ...document,
        errors: [{ in: 'cookie', field: 'a', problem: 'b' }],
      }),
    ).toBe(false)
  })
})
