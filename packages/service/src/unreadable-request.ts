import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { AppError } from '@wattle/contracts'
import { problemDocument, problemType, rawProblem } from './problem.ts'
import { newRequestId, requestIdOf } from './trace.ts'

type ParserError = Error & { readonly code?: string }

const lingerMs = 1_000

/**
 * Answers what Node's HTTP parser refused with a problem document, and closes the connection. `report` is called for
 * each, with the parser's code.
 */
export function refuseUnreadable(
  maxHeaderBytes: number,
  report: (requestId: string, status: number, reason: string | undefined) => void,
): (error: ParserError, socket: Socket) => void {
  return (error, socket) => {
    if (error.code === 'ECONNRESET' || !socket.writable || hasBegunToAnswer(socket)) {
      socket.destroy()
      return
    }
    const refusal = refusalOf(error.code, maxHeaderBytes)
    const requestId = newRequestId()
    report(requestId, refusal.status, error.code)
    // Closing at once would reset the connection, and the client might never see the answer.
    socket.end(rawProblem(refusal, requestId, new Date()))
    socket.resume()
    setTimeout(() => socket.destroy(), lingerMs).unref()
  }
}

/** Node would answer 417 without a body to an `Expect` other than `100-continue`. */
export function refuseExpectation(request: IncomingMessage, response: ServerResponse): void {
  const refusal = new AppError('BAD_REQUEST', 'The Expect header may only be 100-continue.')
  const requestId = requestIdOf(request)
  const body = JSON.stringify(problemDocument(refusal, requestId))
  response.writeHead(refusal.status, {
    'content-type': problemType,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    connection: 'close',
    'x-request-id': requestId,
  })
  response.end(body)
}

function refusalOf(code: string | undefined, maxHeaderBytes: number): AppError {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return new AppError(
        'HEADERS_TOO_LARGE',
        `Address and headers together may have at most ${maxHeaderBytes} bytes.`,
      )
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return new AppError('PAYLOAD_TOO_LARGE', 'The chunk extensions of the body are too large.')
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new AppError('REQUEST_TIMEOUT', 'The request did not arrive in time; send it again.')
    default:
      return new AppError('BAD_REQUEST', 'This is not a well-formed HTTP/1.1 request.')
  }
}

/** An answer that is under way must not get another one in its middle. */
function hasBegunToAnswer(socket: Socket): boolean {
  const { _httpMessage: message } = socket as { _httpMessage?: { headersSent?: boolean } | null }
  return message?.headersSent === true
}
