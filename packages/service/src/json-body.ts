import { isUtf8 } from 'node:buffer'
import type { FastifyInstance } from 'fastify'
import { AppError } from '@wattle/contracts'
import { unsafeInput } from './unsafe-input.ts'
import { invalidInput } from './validation.ts'

/** Takes JSON bodies only, and refuses what no field may hold before any schema is asked. */
export function parseJsonBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => {
    try {
      done(null, parseJson(body as Buffer))
    } catch (error) {
      done(error as Error)
    }
  })
}

function parseJson(body: Buffer): unknown {
  if (body.length === 0) throw invalidInput('body', [{ field: '', problem: 'is empty; send JSON' }])
  if (!isUtf8(body)) throw malformed('is not valid UTF-8')
  let value: unknown
  try {
    value = JSON.parse(body.toString('utf8'))
  } catch (error) {
    throw malformed(`is not well-formed JSON${placeOf(error, body)}`)
  }
  const unsafe = unsafeInput(value)
  if (unsafe !== undefined) throw invalidInput('body', [unsafe])
  return value
}

function malformed(problem: string): AppError {
  return new AppError('BAD_REQUEST', `The body ${problem}.`, {
    fields: [{ in: 'body', field: '', problem }],
  })
}

/** The parser's own message quotes the body, which may hold a password; only the place is taken from it. */
function placeOf(error: unknown, body: Buffer): string {
  const message = error instanceof Error ? error.message : ''
  const place = /at position \d+ \(line (\d+) column (\d+)\)/.exec(message)
  if (place !== null) return ` (line ${place[1]}, column ${place[2]})`
  if (message.startsWith('Unexpected end'))
    return ` (it ends too early, after ${body.length} bytes)`
  return ''
}
