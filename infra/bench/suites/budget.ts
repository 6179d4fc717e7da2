import type { Row } from '../harness/row.ts'
import { runAlone, suiteOptions, type SuiteOptions } from '../harness/suite.ts'
import { choice } from './budget/choice.ts'
import { sharedServer } from './budget/shared-server.ts'

/** Whether namespaces on one Redis keep to their budgets, how well they choose what goes, and what it costs a read. */
export async function budget(options: SuiteOptions = suiteOptions({})): Promise<Row[]> {
  return [...(await choice(options)), ...(await sharedServer(options))]
}

await runAlone(import.meta, 'budget', budget)
