import type { FastifyInstance } from 'fastify'

/** Remembers the routes of an app, to tell a wrong method (405 with `Allow`) from an unknown address (404). */
export function trackMethods(app: FastifyInstance): (path: string) => readonly string[] {
  const routes = new Map<string, { pattern: RegExp; methods: Set<string> }>()
  app.addHook('onRoute', ({ method, url }) => {
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
