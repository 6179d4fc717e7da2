import { describe, expect, test } from 'vitest'
import { completed, missingOptional, type Lockfile } from '../lockfile.ts'

const lock = (packages: Lockfile['packages']): Lockfile => ({ packages })

describe('a lockfile serves other platforms', () => {
  test('a platform package that nobody wrote down is found, also below a nested dependency', () => {
    const found = missingOptional(
      lock({
        '': { optionalDependencies: { 'tool-linux-x64': '1.0.0' } },
        'node_modules/a/node_modules/tool': {
          optionalDependencies: { '@tool/linux-x64': '2.0.0', '@tool/darwin-arm64': '2.0.0' },
        },
        'node_modules/a/node_modules/@tool/linux-x64': { version: '2.0.0' },
        'node_modules/tool-linux-x64': { version: '1.0.0' },
      }),
    )
    expect(found).toEqual([{ name: '@tool/darwin-arm64', version: '2.0.0' }])
  })

  test('completing it adds each missing package once, for its own platform only', () => {
    const whole = completed(
      lock({
        'node_modules/tool': {
          optionalDependencies: { '@tool/linux-arm64-musl': '2.0.0', '@tool/win32-x64': '2.0.0' },
        },
      }),
    )
    expect(missingOptional(whole)).toEqual([])
    expect(whole.packages['node_modules/@tool/linux-arm64-musl']).toEqual({
      version: '2.0.0',
      optional: true,
      os: ['linux'],
      cpu: ['arm64'],
      libc: ['musl'],
    })
  })

  test('a missing package whose platform cannot be told is refused by name', () => {
    const unknown = lock({
      'node_modules/tool': { optionalDependencies: { '@tool/extras': '1.0.0' } },
    })
    expect(() => completed(unknown)).toThrow('@tool/extras')
  })
})
