import { readFileSync } from 'node:fs'
import type { Output } from './output.ts'
import type { Ports } from './ports.ts'

/** Prints where everything is, the demo logins, and last the line that scripts wait for. */
export function printReady(options: {
  output: Output
  ports: Ports
  peopleFile: string
  redisVersion: string
  databases: string
  home: string
  seconds: string
}): void {
  const { output, ports, peopleFile, redisVersion, databases, home, seconds } = options
  const { plain, style } = output
  const { gateway } = ports.services
  const people = JSON.parse(readFileSync(peopleFile, 'utf8')) as {
    name: string
    email: string
    password: string
    roles?: string[]
  }[]
  const heading = (text: string) => plain(`\n${style('bold', text)}`)

  heading('Addresses')
  table(output, [
    ...Object.entries(ports.services).map(([name, port]) => [name, `http://localhost:${port}`]),
    ['API pages', `http://localhost:${gateway}/docs`],
    ['Mail inbox', `http://localhost:${gateway}/inbox`],
    ['Redis', redisVersion],
    ['  cache', `127.0.0.1 ${ports.cache.join(' ')}`],
    ['  state', `127.0.0.1 ${ports.state.join(' ')}`],
    ['  Sentinels', `127.0.0.1 ${ports.sentinels.join(' ')}`],
    ['PostgreSQL', databases],
    ['Logs', `${home}/logs`],
  ])
  heading('Demo logins (for this machine only)')
  table(
    output,
    people.map(({ name, email, password, roles = [] }) => [
      email,
      password,
      `${name}${roles.length > 0 ? ` (${roles.join(', ')})` : ''}`,
    ]),
  )
  plain(`\nUp in ${seconds}. Ctrl-C stops everything.`)
  plain(`wattle is ready: http://localhost:${gateway}`)
}

function table({ plain }: Output, rows: string[][]): void {
  const widths = rows.reduce<number[]>(
    (known, row) => row.map((cell, index) => Math.max(known[index] ?? 0, cell.length)),
    [],
  )
  for (const row of rows) {
    plain(
      `  ${row
        .map((cell, index) => cell.padEnd(widths[index] ?? 0))
        .join('   ')
        .trimEnd()}`,
    )
  }
}
