import type { SchemaNode } from './schema-node.ts'

const numberForm = /^-?\d{1,20}(\.\d{1,20})?$/

/**
 * What a text from an address or the environment means under a schema. A text that does not have the form is returned
 * as it is, and then fails validation with its own message: `limit=ten` is not silently 0, nor is `limit=1.5` 1.
 */
export function fromText(schema: SchemaNode, text: string): unknown {
  const choices = schema.enum ?? ('const' in schema ? [schema.const] : undefined)
  if (choices !== undefined) return choices.find((choice) => String(choice) === text) ?? text
  switch (schema.type) {
    case 'integer':
    case 'number':
      return numberForm.test(text) ? Number(text) : text
    case 'boolean':
      return text === 'true' ? true : text === 'false' ? false : text
    case 'array':
      return [fromText(schema.items ?? {}, text)]
  }
  for (const branch of schema.anyOf ?? []) {
    const value = fromText(branch, text)
    if (value !== text) return value
  }
  return text
}

/** The same for every field of a query or of path parameters; unknown fields pass through, to be refused by name. */
export function fieldsFromText(schema: SchemaNode, fields: Record<string, unknown>) {
  const result: Record<string, unknown> = {}
  for (const name of Object.keys(fields)) {
    const field = schema.properties?.[name] ?? {}
    const value = fields[name]
    let meaning = value
    if (typeof value === 'string') meaning = fromText(field, value)
    else if (Array.isArray(value) && field.type === 'array') {
      meaning = value.map((item) =>
        typeof item === 'string' ? fromText(field.items ?? {}, item) : item,
      )
    }
    // Assigning to `__proto__` would set the prototype and hide the field from validation.
    Object.defineProperty(result, name, {
      value: meaning,
      enumerable: true,
      writable: true,
      configurable: true,
    })
  }
  return result
}
