import { describe, expect, it } from 'vitest'
import { renderTemplate } from '@wattle/servers'

const group = {
  GROUP: 'cache',
  MASTER_HOST: '127.0.0.1',
  MASTER_PORT: 6380,
  QUORUM: 2,
  SENTINEL_PASSWORD: 'secret',
  DOWN_AFTER_MS: 2000,
  FAILOVER_TIMEOUT_MS: 6000,
}

describe('a template', () => {
  it('is filled in, and its comments stay behind', () => {
    const text = renderTemplate('sentinel-group.conf', group)
    expect(text).toContain('sentinel monitor cache 127.0.0.1 6380 2\n')
    expect(text).not.toMatch(/^#/m)
    expect(text).not.toContain('${')
  })

  it('refuses a missing value and one that has no place', () => {
    const { QUORUM: _, ...rest } = group
    expect(() => renderTemplate('sentinel-group.conf', rest)).toThrow('no value for QUORUM')
    expect(() => renderTemplate('sentinel-group.conf', { ...group, QUORUMS: 2 })).toThrow(
      'no place for QUORUMS',
    )
  })

  it('refuses a value that would begin another setting', () => {
    const evil = { ...group, SENTINEL_PASSWORD: 'x\nprotected-mode no' }
    expect(() => renderTemplate('sentinel-group.conf', evil)).toThrow(
      'SENTINEL_PASSWORD holds a control character',
    )
  })
})
