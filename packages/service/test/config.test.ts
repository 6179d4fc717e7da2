import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Type, type TObject } from 'typebox'
import { ConfigError, durationMs, loadConfig, port, url, type Environment } from '@wattle/service'

const schema = Type.Object({
  MY_PORT: port({ default: 8080 }),
  MY_TIMEOUT_MS: durationMs({ default: 250 }),
  MY_FLAG: Type.Optional(Type.Boolean()),
  MY_MODE: Type.Enum(['fast', 'safe'], { default: 'safe' }),
  MY_HOSTS: Type.Optional(Type.Array(Type.String({ minLength: 1 }), { minItems: 1 })),
  MY_CACHE_URL: url(['redis', 'rediss', 'redis+sentinel']),
  MY_SIGNING_KEY: Type.Optional(Type.String({ minLength: 20 })),
})
const required = { MY_CACHE_URL: 'redis://cache:hunter2@127.0.0.1:6380' }

function sentencesOf(
  env: Environment,
  options: Parameters<typeof loadConfig<typeof schema>>[2] = {},
): string[] {
  try {
    loadConfig(schema, env, options)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.message.split('\n')
  }
  throw new Error('it was accepted')
}

let directory: string
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'wattle-config-'))
})
afterAll(() => rmSync(directory, { recursive: true }))

function file(name: string, content: string): string {
  const path = join(directory, name)
  writeFileSync(path, content)
  return path
}

describe('R3: configuration', () => {
  test('has the types of its schema, and its defaults', () => {
    expect(
      loadConfig(schema, { ...required, MY_FLAG: 'true', MY_HOSTS: 'a, b,c', MY_PORT: '0' }),
    ).toEqual({
      MY_PORT: 0,
      MY_TIMEOUT_MS: 250,
      MY_FLAG: true,
      MY_MODE: 'safe',
      MY_HOSTS: ['a', 'b', 'c'],
      MY_CACHE_URL: required.MY_CACHE_URL,
    })
    expect(loadConfig(schema, { ...required, MY_FLAG: '0' }).MY_FLAG).toBe(false)
  })

  test('takes an empty variable as absent', () => {
    expect(loadConfig(schema, { ...required, MY_PORT: '', MY_FLAG: '' })).toMatchObject({
      MY_PORT: 8080,
    })
    expect(sentencesOf({ MY_CACHE_URL: '' })[0]).toMatch(/^MY_CACHE_URL is missing/)
  })

  test.each([
    [{ MY_PORT: '80a' }, 'MY_PORT must be a TCP port: correct its value.'],
    [{ MY_PORT: '-1' }, 'MY_PORT must be at least 0: correct its value.'],
    [{ MY_PORT: '99999' }, 'MY_PORT must be at most 65535: correct its value.'],
    [
      { MY_TIMEOUT_MS: '5s' },
      'MY_TIMEOUT_MS must be a whole number (milliseconds): correct its value.',
    ],
    [{ MY_FLAG: 'yes' }, 'MY_FLAG must be true or false: correct its value.'],
    [{ MY_MODE: 'Fast' }, 'MY_MODE must be fast or safe: correct its value.'],
    [{ MY_HOSTS: ',' }, 'MY_HOSTS must have at least 1 items: correct its value.'],
    [
      { MY_CACHE_URL: 'http://x' },
      'MY_CACHE_URL must be a URL that begins with redis://, rediss:// or redis+sentinel://: correct its value.',
    ],
    [
      { MY_CACHE_URL: 'redis://a b' },
      'MY_CACHE_URL must be a URL that begins with redis://, rediss:// or redis+sentinel://: correct its value.',
    ],
    [
      { MY_SIGNING_KEY: 'short' },
      'MY_SIGNING_KEY must have at least 20 characters: correct its value.',
    ],
  ])('%j is one sentence that names the variable, the problem and the remedy', (env, sentence) => {
    expect(sentencesOf({ ...required, ...env })).toEqual([sentence])
  })

  test('names every faulty variable, one sentence each', () => {
    const sentences = sentencesOf({ MY_PORT: 'x', MY_MODE: 'y' })
    const names = sentences.map((sentence) => sentence.split(' ', 1)[0])
    expect(new Set(names)).toEqual(new Set(['MY_CACHE_URL', 'MY_MODE', 'MY_PORT']))
    expect(names).toHaveLength(3)
  })

  test('never repeats a value', () => {
    const env = {
      MY_CACHE_URL: 'oops://cache:hunter2@h',
      MY_SIGNING_KEY: 'hunter2',
      MY_PORT: 'hunter2',
      MY_MODE: 'hunter2',
    }
    expect(sentencesOf(env).join()).not.toContain('hunter2')
  })

  test('allows several hosts and socket paths in a URL', () => {
    for (const MY_CACHE_URL of [
      'redis+sentinel://u:p@h1:1,h2:2,h3:3/cache',
      'redis:///tmp/x.sock?db=1',
    ]) {
      expect(loadConfig(schema, { MY_CACHE_URL }).MY_CACHE_URL).toBe(MY_CACHE_URL)
    }
  })
})

describe('R4: a secret', () => {
  test('can come from a file, whose last line break is not part of it', () => {
    const MY_SIGNING_KEY_FILE = file('key', 'a key of some length\nwith two lines\n')
    expect(loadConfig(schema, { ...required, MY_SIGNING_KEY_FILE }).MY_SIGNING_KEY).toBe(
      'a key of some length\nwith two lines',
    )
  })

  test('from a file is checked like any other, and not shown', () => {
    const MY_CACHE_URL_FILE = file('url', 'http://hunter2\n')
    const [sentence] = sentencesOf({ MY_CACHE_URL_FILE })
    expect(sentence).toMatch(/^MY_CACHE_URL must be a URL that begins with/)
    expect(sentence).not.toContain('hunter2')
  })

  test('given twice is refused', () => {
    expect(sentencesOf({ ...required, MY_CACHE_URL_FILE: file('twice', 'redis://x') })).toEqual([
      'MY_CACHE_URL and MY_CACHE_URL_FILE are both set: unset one of them.',
    ])
  })

  test('in a file that is not there, or a folder, is one sentence', () => {
    expect(sentencesOf({ MY_CACHE_URL_FILE: '/nowhere/url' })).toEqual([
      'MY_CACHE_URL_FILE names the file /nowhere/url, which does not exist: correct the path or its permissions.',
    ])
    expect(sentencesOf({ MY_CACHE_URL_FILE: directory })).toEqual([
      `MY_CACHE_URL_FILE names the file ${directory}, which cannot be read: correct the path or its permissions.`,
    ])
  })

  test('refused by a further check is named without its value', () => {
    const check = {
      MY_CACHE_URL: (value: string) => {
        throw new Error(`the port in ${value} is not a number, nor in rediss://u:hunter2@x`)
      },
    }
    expect(sentencesOf(required, { check })).toEqual([
      'MY_CACHE_URL cannot be used: the port in … is not a number, nor in rediss://…@x',
    ])
    const keyFromFile = {
      ...required,
      MY_SIGNING_KEY_FILE: file('bad', 'hunter2 hunter2 hunter2\n'),
    }
    const [sentence] = sentencesOf(keyFromFile, {
      check: {
        MY_SIGNING_KEY: (value) => {
          throw new Error(`"${value}" holds no PEM key`)
        },
      },
    })
    expect(sentence).toBe('MY_SIGNING_KEY cannot be used: "…" holds no PEM key')
  })
})

describe('a misspelt variable', () => {
  test('is pointed out where the right one is missing', () => {
    const [sentence] = sentencesOf({ MY_CACHE_ULR: 'redis://x' })
    expect(sentence).toMatch(
      /^MY_CACHE_URL is missing: .*, or correct MY_CACHE_ULR if that is a misspelling of it\.$/,
    )
  })

  test('of an optional one is warned of', () => {
    const warnings: string[] = []
    const warn = (sentence: string) => void warnings.push(sentence)
    loadConfig(
      schema,
      { ...required, MY_TIMEOUT_MSS: '5', UNRELATED: '1', MY_PORT: '1', MY_PORTS: '2' },
      { warn },
    )
    expect(warnings).toEqual([
      'MY_TIMEOUT_MSS is not read by this process: is it meant to be MY_TIMEOUT_MS?',
    ])
  })
})

test('a schema of no variables reads nothing', () => {
  const empty: TObject = Type.Object({})
  expect(loadConfig(empty, { PATH: '/bin' })).toEqual({})
})
