import type { Machine } from './machine.ts'
import { reached, type Goal, type Row } from './row.ts'

export type Report = {
  name: string
  startedAt: Date
  tookMs: number
  rounds: number
  quick: boolean
  machine: Machine
  rows: readonly Row[]
}

/** The report as Markdown, which is also what the terminal shows. */
export function markdownOf({
  name,
  startedAt,
  tookMs,
  rounds,
  quick,
  machine,
  rows,
}: Report): string {
  const groups = Map.groupBy(rows, (row) => row.group)
  const judged = rows.filter((row) => row.goal)
  const missed = judged.filter((row) => !reached(row))
  return [
    `# Benchmark ${name}, ${startedAt.toISOString().slice(0, 16).replace('T', ' ')} UTC`,
    '',
    `${machine.processor}, ${machine.cores} cores, ${machine.memoryGiB} GiB; ${machine.system}; Node ${machine.node}; ` +
      `load ${machine.loadBefore.toFixed(2)} before; commit ${machine.commit}. ` +
      `Medians of ${rounds} interleaved rounds${quick ? ', quick: not for comparison' : ''}; ${Math.round(tookMs / 1000)} s.`,
    '',
    judged.length > 0
      ? `${judged.length - missed.length} of ${judged.length} goals reached.\n`
      : '',
    ...[...groups].flatMap(([group, members]) => [`## ${group}`, '', ...table(members), '']),
  ]
    .join('\n')
    .replaceAll(/\n{3,}/g, '\n\n')
}

const heads = ['', 'median', 'from', 'to', 'CPU µs', 'in Redis', 'ratio', 'goal', ''] as const

function table(rows: readonly Row[]): string[] {
  const cells = rows.map((row) => [
    row.ours ? `**${row.variant}**` : row.variant,
    `${figure(row.value)} ${row.unit}`,
    figure(row.spread[0]),
    figure(row.spread[1]),
    row.cpuUs === undefined ? '' : figure(row.cpuUs),
    row.serverCpuUs === undefined ? '' : figure(row.serverCpuUs),
    row.ratio === undefined ? '' : row.ratio.toFixed(2),
    row.goal ? `${goalText(row.goal)} ${reached(row) ? '✓' : '✗'}` : '',
    row.note ?? '',
  ])
  const used = heads.map((_, column) => column < 2 || cells.some((line) => line[column] !== ''))
  const shown = [[...heads], ...cells].map((line) => line.filter((_, column) => used[column]))
  const widths = (shown[0] ?? []).map((_, column) =>
    Math.max(3, ...shown.map((line) => line[column]?.length ?? 0)),
  )
  const lines = shown.map(
    (line) =>
      `| ${line.map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0))).join(' | ')} |`,
  )
  const dashes = widths.map((width, at) => '-'.repeat(width + 1) + (at === 0 ? '-' : ':'))
  return [lines[0] ?? '', `|${dashes.join('|')}|`, ...lines.slice(1)]
}

function goalText({ of, atLeast, atMost }: Goal): string {
  const sign = of === 'ratio' ? '×' : ''
  return [
    atLeast === undefined ? '' : `≥ ${figure(atLeast)}${sign}`,
    atMost === undefined ? '' : `≤ ${figure(atMost)}${sign}`,
  ]
    .filter((part) => part !== '')
    .join(', ')
}

/** Three to four significant digits, thousands separated. */
function figure(value: number): string {
  if (Number.isNaN(value)) return '–'
  if (!Number.isFinite(value)) return '∞'
  const size = Math.abs(value)
  if (size >= 1000) return Math.round(value).toLocaleString('en-US')
  return size >= 100 || Number.isInteger(value) ? value.toFixed(0) : value.toPrecision(3)
}
