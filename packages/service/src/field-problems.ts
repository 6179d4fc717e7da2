import type { TLocalizedValidationError } from 'typebox/error'
import { Settings } from 'typebox/system'
import { nodeAt, pointerSteps, type SchemaNode } from './schema-node.ts'

export type FieldProblem = { readonly field: string; readonly problem: string }

const maxProblems = 20
// TypeBox stops at 8, and a union or an unknown field takes several.
Settings.Set({ maxErrors: 64 })
const maxNameLength = 60

/**
 * Says for each faulty field what is wrong and what would be right, in the words of the schema. Values never appear:
 * any of them may be a secret. One problem a field, twenty at most.
 */
export function fieldProblems(
  root: SchemaNode,
  errors: readonly TLocalizedValidationError[],
): FieldProblem[] {
  const problems = new Map<string, string>()
  const add = (field: string, problem: string) => {
    if (!problems.has(field) && problems.size < maxProblems) problems.set(field, problem)
  }
  for (const error of errors) {
    // Each branch of a union complains too, and each unknown field twice; what covers them says it better.
    if (/\/(anyOf|oneOf)\//.test(error.schemaPath)) continue
    if (error.keyword === 'additionalProperties') continue
    const node = nodeAt(root, error.schemaPath)
    const path = pointerSteps(error.instancePath)
    if (error.keyword === 'required') {
      for (const name of error.params.requiredProperties) {
        add(fieldName([...path, name]), missing(node.properties?.[name]))
      }
    } else if (error.keyword === 'boolean') {
      // The schema at this path is the `false` of additionalProperties.
      const parent = nodeAt(root, error.schemaPath.replace(/\/additionalProperties$/, ''))
      add(fieldName(path), `is not known here (${knownFields(parent)})`)
    } else {
      add(fieldName(path), problemOf(error, node))
    }
  }
  if (problems.size === 0) problems.set('', 'does not have the right form')
  return [...problems].map(([field, problem]) => ({ field, problem }))
}

/** `['lines', '0', 'kind']` → `lines[0].kind`; what a client made up is cut short and made printable. */
export function fieldName(steps: readonly string[]): string {
  let name = ''
  for (const step of steps) {
    if (/^\d+$/.test(step)) name += `[${step}]`
    else name += `${name === '' ? '' : '.'}${printable(step)}`
  }
  return name.length > 4 * maxNameLength ? `${name.slice(0, 4 * maxNameLength)}…` : name
}

function printable(text: string): string {
  const short = text.length > maxNameLength ? `${text.slice(0, maxNameLength)}…` : text
  return short.replaceAll(/[^\p{L}\p{N}\p{P}\p{S} ]/gu, '\uFFFD')
}

function knownFields(node: SchemaNode): string {
  const names = Object.keys(node.properties ?? {})
  return names.length === 0 ? 'nothing is expected here' : `known: ${names.join(', ')}`
}

function missing(node: SchemaNode | undefined): string {
  const wanted = node === undefined ? '' : wantedForm(node)
  return wanted === '' ? 'is missing' : `is missing: give ${wanted}`
}

function problemOf(error: TLocalizedValidationError, node: SchemaNode): string {
  switch (error.keyword) {
    case 'type':
    case 'pattern':
    case 'format':
    case 'enum':
    case 'const':
    case 'anyOf':
    case 'oneOf': {
      const wanted = wantedForm(node)
      return wanted === '' ? error.message : `must be ${wanted}`
    }
    case 'minLength':
      return error.params.limit === 1
        ? 'must not be empty'
        : `must have at least ${error.params.limit} characters`
    case 'maxLength':
      return `must have at most ${error.params.limit} characters`
    case 'minimum':
      return `must be at least ${error.params.limit}`
    case 'maximum':
      return `must be at most ${error.params.limit}`
    case 'minItems':
      return `must have at least ${error.params.limit} items`
    case 'maxItems':
      return `must have at most ${error.params.limit} items`
    case 'minProperties':
      return `must have at least ${error.params.limit} of these fields: ${Object.keys(node.properties ?? {}).join(', ')}`
    default:
      return error.message
  }
}

const typeNames: Readonly<Record<string, string>> = {
  string: 'a text',
  integer: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
  null: 'null',
  array: 'a list',
  object: 'an object',
}

const formatNames: Readonly<Record<string, string>> = {
  date: 'a date such as 2026-03-31',
  'date-time': 'a time such as 2026-03-31T08:30:00Z',
  email: 'an e-mail address',
  uri: 'an absolute URL',
  url: 'an absolute URL',
  uuid: 'a UUID',
}

/** The form a value should have, fit to follow "must be"; empty when the schema does not say. */
export function wantedForm(node: SchemaNode): string {
  if (node.enum !== undefined) return listed(node.enum.map(String))
  if ('const' in node) return String(node.const)
  if (node.anyOf !== undefined) {
    return listed(node.anyOf.map(wantedForm).filter((text) => text !== ''))
  }
  const form = formatNames[node.format ?? ''] ?? typeNames[node.type ?? ''] ?? ''
  if (node.description === undefined || node.format !== undefined || form === '') return form
  // "An id of the form usr_<uuid>" says all; "E.164" does not.
  if (/^an? /i.test(node.description)) return `a${node.description.slice(1)}`
  return `${form} (${node.description})`
}

/** `a, b or c` */
export function listed(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`
}
