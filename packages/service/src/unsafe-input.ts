import { fieldName, type FieldProblem } from './field-problems.ts'

const maxDepth = 32

/**
 * Finds what no field may hold whatever its schema says: NUL (PostgreSQL refuses it in text), broken Unicode, numbers
 * that lose precision, names that reach for prototypes, and nesting that no contract has. Returns the first such fault.
 */
export function unsafeInput(value: unknown): FieldProblem | undefined {
  return findUnsafe(value, [])
}

function findUnsafe(value: unknown, path: string[]): FieldProblem | undefined {
  if (typeof value === 'string') return faultOfText(value, path)
  if (typeof value === 'number') {
    return Math.abs(value) <= Number.MAX_SAFE_INTEGER
      ? undefined
      : fault(path, 'is too large a number')
  }
  if (typeof value !== 'object' || value === null) return undefined
  if (path.length >= maxDepth)
    return fault(path.slice(0, 3), `is nested deeper than ${maxDepth} levels`)
  for (const name of Object.keys(value)) {
    path.push(name)
    const found =
      faultOfName(name, path) ?? findUnsafe((value as Record<string, unknown>)[name], path)
    if (found !== undefined) return found
    path.pop()
  }
  return undefined
}

function faultOfText(text: string, path: string[]): FieldProblem | undefined {
  if (text.includes('\0')) return fault(path, 'must not contain the NUL character')
  if (!text.isWellFormed())
    return fault(path, 'must be well-formed Unicode; it holds half a surrogate pair')
  return undefined
}

function faultOfName(name: string, path: string[]): FieldProblem | undefined {
  if (name === '__proto__') return fault(path, 'is not allowed as a name')
  if (name.includes('\0') || !name.isWellFormed()) return fault(path, 'is not allowed as a name')
  return undefined
}

function fault(path: readonly string[], problem: string): FieldProblem {
  return { field: fieldName(path), problem }
}
