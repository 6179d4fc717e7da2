import type { Row } from '../harness/row.ts'
import { runAlone } from '../harness/suite.ts'

export async function cache(): Promise<Row[]> {
  return []
}

await runAlone(import.meta, 'cache', cache)
