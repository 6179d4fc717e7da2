import type { FastifyInstance } from 'fastify'
import { AppError } from '@wattle/contracts'
import { sendProblem } from './problem.ts'

/** Answers what no route takes: 405 with `Allow` for a wrong method, 204 for OPTIONS, else 404. */
export function answerUnknownAddresses(app: FastifyInstance): void {
  const methodsOf = trackMethods(app)
  app.setNotFoundHandler((request, reply) => {
    const allowed = methodsOf(request.url.split('?', 1)[0] ?? '').join(', ')
    if (allowed === '') {
      return sendProblem(reply, new AppError('NOT_FOUND', 'There is nothing at this address.'))
    }
    reply.header('allow', allowed)
    if (request.method === 'OPTIONS') return reply.code(204).send()
    return sendProblem(reply, new AppError('METHOD_NOT_ALLOWED', `This address takes ${allowed}.`))
  })
}

function trackMethods(app: FastifyInstance): (path: string) => readonly string[] {
  const routes = new Map<string, { pattern: RegExp; methods: Set<string> }>()
  app.addHook('onRoute', ({ method, url }) => {
    // A route for everything, such as that of CORS, does not make an address known.
    if (url === '*' || url === '/*') return
    let route = routes.get(url)
    if (route === undefined)
      routes.set(url, (route = { pattern: patternOf(url), methods: new Set() }))
    for (const one of [method].flat()) route.methods.add(one)
  })

  return (path) => {
    const methods = new Set<string>()
    for (const route of routes.values()) {
      if (!route.pattern.test(path)) continue
      for (const method of route.methods) methods.add(method)
    }
    return methods.size === 0 ? [] : [...methods, 'OPTIONS'].filter(isFirst).toSorted()
  }
}

function isFirst(method: string, index: number, all: readonly string[]): boolean {
  return all.indexOf(method) === index
}

function patternOf(url: string): RegExp {
  const source = url
    .replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&')
    .replaceAll(/:[A-Za-z0-9_]+/g, '[^/]+')
    .replaceAll('*', '.*')
  return new RegExp(`^${source}$`)
}
