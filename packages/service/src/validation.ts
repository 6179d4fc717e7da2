import type { FastifySchemaCompiler } from 'fastify'
import type { TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { Value } from 'typebox/value'
import { AppError, type FieldError } from '@wattle/contracts'
import { fieldProblems, type FieldProblem } from './field-problems.ts'
import { fieldsFromText } from './from-text.ts'
import { schemaNode, type SchemaNode } from './schema-node.ts'
import { unsafeInput } from './unsafe-input.ts'

type Part = FieldError['in']

const partOf: Readonly<Record<string, Part>> = {
  body: 'body',
  querystring: 'query',
  params: 'params',
  headers: 'headers',
}

/**
 * Compiles the check of one part of a request. Texts become numbers and booleans in queries and parameters only; a
 * body is taken as it is. Defaults are filled in. A fault throws VALIDATION_FAILED that names every faulty field.
 */
export const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const part = partOf[httpPart ?? 'body'] ?? 'body'
  const node = schemaNode(schema)
  const validator = Compile(schema)
  const hasDefaults = JSON.stringify(schema).includes('"default":')

  return (received: unknown) => {
    if (part === 'body' && (received === null || received === undefined)) {
      return {
        error: invalidInput(part, [{ field: '', problem: 'is missing; send a JSON object' }]),
      }
    }
    let value = received
    if (part !== 'body' && isFields(received)) {
      // A body was looked through when it was parsed.
      const unsafe = unsafeInput(received)
      const problems = unsafe === undefined ? repeatedFields(node, received) : [unsafe]
      if (problems.length > 0) return { error: invalidInput(part, problems) }
      value = fieldsFromText(node, received)
    }
    if (hasDefaults) value = Value.Default(schema, value)
    if (validator.Check(value)) return { value }
    return { error: invalidInput(part, fieldProblems(node, validator.Errors(value))) }
  }
}

/** VALIDATION_FAILED for these fields, which `detail` names too. */
export function invalidInput(part: Part, problems: readonly FieldProblem[]): AppError {
  const fields = problems.map(({ field, problem }) => ({ in: part, field, problem }))
  const shown = fields.slice(0, 3).map(sentence)
  if (fields.length > shown.length) shown.push(`and ${fields.length - shown.length} more`)
  return new AppError('VALIDATION_FAILED', `${shown.join('; ')}.`, { fields })
}

const places: Readonly<Record<Part, string>> = {
  body: 'The body',
  query: 'The query',
  params: 'The address',
  headers: 'The headers',
}

function sentence({ in: part, field, problem }: FieldError): string {
  return field === '' ? `${places[part]} ${problem}` : `${part}.${field} ${problem}`
}

function repeatedFields(node: SchemaNode, fields: Record<string, unknown>): FieldProblem[] {
  return Object.keys(fields)
    .filter((name) => Array.isArray(fields[name]) && isSingle(node.properties?.[name]))
    .map((field) => ({ field, problem: 'is given more than once; give it once' }))
}

function isSingle(property: SchemaNode | undefined): boolean {
  return property !== undefined && property.type !== 'array'
}

function isFields(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
