import { styleText } from 'node:util'

export type Output = ReturnType<typeof createOutput>

type Style = Parameters<typeof styleText>[0]

const sourceColours = ['cyan', 'magenta', 'yellow', 'blue', 'green', 'cyanBright'] as const

/** What the stack prints: its own words, and the lines of services with their name before them. */
export function createOutput({
  stream,
  sources,
}: {
  stream: NodeJS.WriteStream
  /** Names that get a colour of their own; the column is as wide as the longest. */
  sources: readonly string[]
}) {
  const names = ['wattle', ...sources]
  const width = Math.max(...names.map((name) => name.length))
  // Whoever read this is gone (a closed terminal, `| head`): that must not end the stack in a disorderly way.
  stream.on('error', () => undefined)

  const style: (format: Style, text: string) => string = (format, text) =>
    styleText(format, text, { stream })
  const heads = new Map(
    names.map((name, index) => {
      const colour =
        index === 0 ? 'bold' : (sourceColours[(index - 1) % sourceColours.length] ?? 'cyan')
      return [name, style(colour, name.padEnd(width))]
    }),
  )
  const line = (source: string, text: string) => {
    const head = heads.get(source) ?? source.padEnd(width)
    for (const part of text.split('\n')) stream.write(`${head}  ${part}\n`)
  }
  return {
    style,
    /** A line of a service. */
    line,
    /** Words of the stack itself. */
    say: (text: string) => line('wattle', text),
    warn: (text: string) => line('wattle', style('yellow', text)),
    fail: (text: string) => line('wattle', style('red', text)),
    /** Text as it is, without a head. */
    plain: (text: string) => void stream.write(`${text}\n`),
  }
}
