import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { foldCode } from '../src/coupons/coupon-code.ts'

describe('the form in which coupon codes are compared', () => {
  test.each([
    ['case', 'WELCOME10', 'welcome10'],
    ['spaces around and within', '  welcome 10\u00a0', 'welcome10'],
    ['hyphens', 'WEL-COME-10', 'welcome10'],
    ['a hyphen that does not break, a dash, a minus', 'wel\u2011co\u2014me\u221210', 'welcome10'],
    ['full-width letters and digits', 'ＷＥＬＣＯＭＥ１０', 'welcome10'],
    ['characters that show nothing', 'wel\u200bcome\u00ad\u200d10\ufeff', 'welcome10'],
    ['accents in one character or two', 'e\u0301te\u0301', '\u00e9t\u00e9'],
    ['sharp s', 'STRASSE', 'straße'],
    ['capital sharp s', 'STRAẞE', 'straße'],
    ['final sigma', 'ΟΔΟΣ', 'οδοσ'],
    ['ligatures', 'oﬃce', 'OFFICE'],
    ['titlecase digraphs', 'ǅ', 'ǆ'],
    ['dotted capital i', 'İ', 'i\u0307'],
    ['Kelvin and long s', '\u212a\u017f', 'ks'],
    ['Yoruba, in any form', 'Ọ̀ṢUN', 'o\u0323\u0300s\u0323un'],
  ])('makes no difference of %s', (_what, one, other) => {
    expect(foldCode(one)).toBe(foldCode(other))
  })

  test.each([
    ['WELCOME10', 'WELCOME1O'],
    ['été', 'ete'],
    ['a', 'а'],
  ])('keeps %s and %s apart', (one, other) => {
    expect(foldCode(one)).not.toBe(foldCode(other))
  })

  test('is empty where nothing is left', () => {
    expect(foldCode(' - \u200b — ')).toBe('')
  })

  test('is the same for every case and normal form of any text, and stays as it is when folded again', () => {
    const seed = Date.now()
    console.log(`seed ${seed}`)
    const text = fc.string({ unit: 'binary', maxLength: 64 })
    fc.assert(
      fc.property(text, (code) => {
        const folded = foldCode(code)
        const others = [
          folded,
          code.toUpperCase(),
          code.toLowerCase(),
          ...['NFC', 'NFD', 'NFKC', 'NFKD'].map((form) => code.normalize(form)),
        ]
        for (const other of others) expect(foldCode(other)).toBe(folded)
      }),
      { seed, numRuns: 3_000 },
    )
  })
})
