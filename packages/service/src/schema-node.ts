import type { TSchema } from 'typebox'

/** The parts of a JSON Schema that are read here. */
export type SchemaNode = {
  readonly type?: string
  readonly properties?: Readonly<Record<string, SchemaNode>>
  readonly required?: readonly string[]
  readonly additionalProperties?: boolean | SchemaNode
  readonly items?: SchemaNode
  readonly anyOf?: readonly SchemaNode[]
  readonly enum?: readonly unknown[]
  readonly const?: unknown
  readonly default?: unknown
  readonly format?: string
  readonly description?: string
}

/** TypeBox types say nothing of the JSON Schema inside; this is the one place that looks behind them. */
export function schemaNode(schema: TSchema): SchemaNode {
  return schema
}

/** The node at a JSON pointer such as `#/properties/email`, or an empty one. */
export function nodeAt(root: SchemaNode, pointer: string): SchemaNode {
  let node: unknown = root
  for (const step of pointerSteps(pointer)) {
    if (typeof node !== 'object' || node === null) return {}
    node = (node as Record<string, unknown>)[step]
  }
  return typeof node === 'object' && node !== null ? node : {}
}

/** The steps of a JSON pointer (RFC 6901), with or without a leading `#`. */
export function pointerSteps(pointer: string): string[] {
  return pointer
    .replace(/^#/, '')
    .split('/')
    .slice(1)
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'))
}
