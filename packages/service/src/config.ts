import { readFileSync } from 'node:fs'
import type { Static, TObject } from 'typebox'
import { Compile } from 'typebox/compile'
import { Value } from 'typebox/value'
import { fieldProblems } from './field-problems.ts'
import { fromText } from './from-text.ts'
import { schemaNode } from './schema-node.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** What is wrong with the configuration: one sentence for each faulty variable, without the values of secrets. */
export class ConfigError extends Error {
  constructor(sentences: readonly string[]) {
    super(sentences.join('\n'))
    this.name = 'ConfigError'
  }
}

export type LoadConfigOptions<T extends TObject> = {
  /** Further checks of single values; each throws an Error with one sentence. */
  readonly check?: {
    readonly [K in keyof Static<T>]?: (value: NonNullable<Static<T>[K]>) => unknown
  }
  /** Is told of variables that look misspelt; by default a line on stderr. */
  readonly warn?: (sentence: string) => void
}

/**
 * Reads the configuration from environment variables. The schema is an object whose keys are the variables' names;
 * texts become numbers, booleans and comma-separated lists as it says, and an empty variable counts as absent. `X_FILE`
 * names a file that holds the value of `X`, for secrets.
 *
 * Throws ConfigError with one sentence for each faulty variable: its name, the problem, the remedy.
 */
export function loadConfig<T extends TObject>(
  schema: T,
  env: Environment = process.env,
  options: LoadConfigOptions<T> = {},
): Static<T> {
  const { check = {}, warn = warnOnStderr } = options
  const root = schemaNode(schema)
  const names = Object.keys(root.properties ?? {})
  const faults = new Map<string, string>()
  const texts: Record<string, string> = {}
  const given: Record<string, unknown> = {}

  for (const name of names) {
    const text = textOf(name, env, (sentence) => faults.set(name, sentence))
    if (text === undefined) continue
    texts[name] = text
    given[name] = valueOf(root.properties?.[name] ?? {}, text)
  }
  const config = Value.Default(schema, given)

  const validator = Compile(schema)
  if (!validator.Check(config)) {
    for (const { field, problem } of fieldProblems(root, validator.Errors(config))) {
      if (!faults.has(nameOf(field)))
        faults.set(nameOf(field), sentenceFor(field, problem, env, names))
    }
  }
  for (const [name, judge] of Object.entries<(value: never) => unknown>(check)) {
    const value = given[name]
    if (value === undefined || faults.has(name)) continue
    try {
      judge(value as never)
    } catch (error) {
      faults.set(name, `${name} cannot be used: ${withoutValue(error, texts[name] ?? '')}`)
    }
  }
  if (faults.size > 0) throw new ConfigError([...faults.values()])
  for (const sentence of misspelt(env, names)) warn(sentence)
  return config as Static<T>
}

function textOf(
  name: string,
  env: Environment,
  fault: (sentence: string) => void,
): string | undefined {
  const text = env[name]
  const file = env[`${name}_FILE`]
  if (file === undefined || file === '') return text === '' ? undefined : text
  if (text !== undefined && text !== '') {
    fault(`${name} and ${name}_FILE are both set: unset one of them.`)
    return undefined
  }
  try {
    return readFileSync(file, 'utf8').replace(/\r?\n$/, '')
  } catch (error) {
    const reason =
      (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'does not exist' : 'cannot be read'
    fault(
      `${name}_FILE names the file ${file}, which ${reason}: correct the path or its permissions.`,
    )
    return undefined
  }
}

function valueOf(node: ReturnType<typeof schemaNode>, text: string): unknown {
  if (node.type === 'boolean' && (text === '1' || text === '0')) return text === '1'
  if (node.type !== 'array') return fromText(node, text)
  return text
    .split(',')
    .map((item) => fromText(node.items ?? {}, item.trim()))
    .filter((item) => item !== '')
}

/** `LIST[1]` is about the variable LIST. */
function nameOf(field: string): string {
  return field.replace(/[[.].*$/, '')
}

function sentenceFor(
  field: string,
  problem: string,
  env: Environment,
  names: readonly string[],
): string {
  const name = nameOf(field)
  if (!problem.startsWith('is missing')) return `${name} ${problem}: correct its value.`
  const [similar] = Object.keys(env).filter(
    (other) => !names.includes(other) && isNear(other, name),
  )
  const guess =
    similar === undefined ? '' : `, or correct ${similar} if that is a misspelling of it`
  return `${name} ${problem} in this variable or in a file named by ${name}_FILE${guess}.`
}

function withoutValue(error: unknown, value: string): string {
  const message = error instanceof Error ? error.message : 'it is refused'
  const withoutIt = value === '' ? message : message.replaceAll(value, '…')
  return withoutIt.replaceAll(/:\/\/[^/\s@]*@/g, '://…@')
}

function misspelt(env: Environment, names: readonly string[]): string[] {
  const known = new Set(names.flatMap((name) => [name, `${name}_FILE`]))
  const unset = names.filter((name) => (env[name] ?? env[`${name}_FILE`] ?? '') === '')
  return Object.keys(env).flatMap((name) => {
    if (known.has(name)) return []
    const meant = unset.find((candidate) => isNear(candidate, name))
    return meant === undefined
      ? []
      : [`${name} is not read by this process: is it meant to be ${meant}?`]
  })
}

/** One or two edits apart (Levenshtein), by length. */
function isNear(a: string, b: string): boolean {
  const limit = a.length < 12 ? 1 : 2
  if (Math.abs(a.length - b.length) > limit) return false
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return (row[b.length] ?? 0) <= limit
}

function warnOnStderr(sentence: string): void {
  process.stderr.write(`warning: ${sentence}\n`)
}
