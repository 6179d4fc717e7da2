import { describe, expect, test } from 'vitest'
import { isUnavailable } from '../src/index.ts'

const withCode = (code: string) => Object.assign(new Error(`connect ${code}`), { code })

describe('C23: an error tells whether Redis is away or the call is wrong', () => {
  test.each([
    new Error('Connection is closed.'),
    new Error('Command timed out'),
    new Error("Stream isn't writeable and enableOfflineQueue options is false"),
    new Error('Reached the max retries per request limit (which is 0).'),
    new Error('LOADING Redis is loading the dataset in memory'),
    new Error(
      "READONLY You can't write against a read only replica. script: 2b4, on @user_script:1.",
    ),
    new Error('NOREPLICAS Not enough good replicas to write.'),
    new Error('CLUSTERDOWN Hash slot not served'),
    new Error("OOM command not allowed when used memory > 'maxmemory'."),
    withCode('ECONNREFUSED'),
    withCode('ENOTFOUND'),
  ])('away: %s', (error) => {
    expect(isUnavailable(error)).toBe(true)
  })

  test.each([
    new Error('WRONGTYPE Operation against a key holding the wrong kind of value'),
    new Error('NOPERM this user has no permissions to access one of the keys used as arguments'),
    new Error('ERR value is not an integer or out of range'),
    new Error("CROSSSLOT Keys in request don't hash to the same slot"),
    new TypeError('undefined is not a function'),
    'Connection is closed.',
    undefined,
  ])('wrong: %s', (error) => {
    expect(isUnavailable(error)).toBe(false)
  })
})
