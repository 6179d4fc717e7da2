import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { openLogFile } from '../src/log-file.ts'
import { renderLogLine } from '../src/log-line.ts'

const plain = (_format: unknown, text: string) => text
const render = (fields: object) => {
  const time = '2026-11-21T10:37:01.972Z'
  return renderLogLine(
    JSON.stringify({ level: 'info', time, service: 'billing', ...fields }),
    plain,
  )
}

describe('a log line of a service', () => {
  test('shows time, level, message and fields; ids of traces stay in the file', () => {
    expect(render({ msg: 'started', requestId: 'req_1', traceId: 'abc', spanId: 'def' })).toBe(
      '10:37:01.972 INFO  started requestId=req_1',
    )
  })

  test('of a request shows what was asked and how long it took', () => {
    const request = { method: 'GET', route: '/bills', status: 200, durationMs: 3.2 }
    expect(render({ msg: 'request', ...request, requestId: 'req_1' })).toBe(
      '10:37:01.972 INFO  GET /bills 200 3.2 ms requestId=req_1',
    )
  })

  test('of an error shows its message and its causes, and where in our own code', () => {
    const err = {
      type: 'AppError',
      message: 'not now',
      stack:
        'AppError: not now\n    at load (/w/apps/billing/src/a.ts:1:2)\n    at x (node:net:1:1)',
      cause: { type: 'Error', code: 'ECONNREFUSED', message: 'refused' },
    }
    expect(render({ level: 'error', msg: 'request failed', err })).toBe(
      [
        '10:37:01.972 ERROR request failed',
        '  AppError: not now',
        '    at load (/w/apps/billing/src/a.ts:1:2)',
        '  caused by Error ECONNREFUSED: refused',
      ].join('\n'),
    )
  })

  test('that is not JSON stays as it is', () => {
    expect(renderLogLine('{ "half": ', plain)).toBe('{ "half": ')
    expect(renderLogLine('Warning: something', plain)).toBe('Warning: something')
  })

  test('cannot send commands to the terminal', () => {
    const rendered = render({ msg: 'hello \u001B[2J\u0007 you', agent: '\u009B31m' })
    expect(rendered).toBe('10:37:01.972 INFO  hello �[2J� you agent=�31m')
  })
})

describe('a log file', () => {
  test('keeps the last lines, and its size within twice the bound', () => {
    const directory = mkdtempSync(join(tmpdir(), 'wattle-log-'))
    const file = join(directory, 'x.log')
    const log = openLogFile(file, 1_000)
    for (let line = 0; line < 1_000; line++) log.write(`line ${line}`)
    log.close()
    expect(readFileSync(file, 'utf8')).toMatch(/line 999\n$/)
    expect(statSync(file).size + statSync(`${file}.1`).size).toBeLessThan(2_100)
    rmSync(directory, { recursive: true })
  })
})
