import type { TSchema } from 'typebox'
import { Compile } from 'typebox/compile'

type Check = {
  Check(value: unknown): boolean
  Errors(value: unknown): readonly { instancePath: string; message: string }[]
}

const checks = new WeakMap<TSchema, Check>()

/** Why a value does not fit a schema, for a log: paths and rules, never values. Undefined when it fits. */
export function schemaFaults(schema: TSchema, value: unknown): string | undefined {
  let check = checks.get(schema)
  if (check === undefined) checks.set(schema, (check = Compile(schema)))
  if (check.Check(value)) return undefined
  const faults = check.Errors(value).slice(0, 5)
  return faults.map((fault) => `${fault.instancePath || '/'} ${fault.message}`).join('; ')
}
