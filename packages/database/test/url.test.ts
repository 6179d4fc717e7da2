import { describe, expect, it } from 'vitest'
import { changeUrl } from '../src/url.ts'

const change = { user: 'billing', password: 'p@ss/w:ord?#', database: 'billing' }
const credentials = 'billing:p%40ss%2Fw%3Aord%3F%23'

describe('changing the role and database of a URL', () => {
  it.each([
    ['postgresql://admin:x@db:5432/postgres', `postgresql://${credentials}@db:5432/billing`],
    ['postgres://db', `postgres://${credentials}@db/billing`],
    [
      'postgresql://admin@[::1]:5432/a?sslmode=require',
      `postgresql://${credentials}@[::1]:5432/billing?sslmode=require`,
    ],
    [
      'postgresql://admin@/postgres?host=/run/my%20dir',
      `postgresql://${credentials}@/billing?host=/run/my%20dir`,
    ],
    ['postgresql://a:b@%2Frun%2Fpg/a', `postgresql://${credentials}@%2Frun%2Fpg/billing`],
  ])('%s', (url, changed) => {
    expect(changeUrl(url, change)).toBe(changed)
  })

  it('keeps what is not changed', () => {
    const url = 'postgresql://admin:secret@db:5432/postgres?application_name=x'
    expect(changeUrl(url, {})).toBe(url)
    expect(changeUrl(url, { database: 'other' })).toBe(url.replace('/postgres?', '/other?'))
    expect(changeUrl(url, { user: 'other' })).toBe(url.replace('admin:secret', 'other'))
  })

  it('refuses what is no PostgreSQL URL, without repeating it', () => {
    const refused = () => changeUrl('mysql://admin:secret@db', {})
    expect(refused).toThrow('A PostgreSQL URL has the form')
    expect(refused).not.toThrow('secret')
  })
})
