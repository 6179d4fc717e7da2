/** How many routes of an app write, by its own listing; whatever a test names, the router knows better. */
export function countWriteRoutes(app: {
  printRoutes(options: { commonPrefix: boolean }): string
}): number {
  const listing = app.printRoutes({ commonPrefix: false })
  const methods = [...listing.matchAll(/\(([A-Z, ]+)\)/g)].flatMap(([, list = '']) =>
    list.split(', '),
  )
  return methods.filter((method) => !['GET', 'HEAD', 'OPTIONS'].includes(method)).length
}
