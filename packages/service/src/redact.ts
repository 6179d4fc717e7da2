const secretName =
  /^(.*[-_.])?(authorization|cookies?|pass(word|wd|phrase|code)?|secrets?|tokens?|credentials?|otp|pin|cvv|cvc|jwt|(api|private|signing)[-_]?key)$/i
const secretSuffix =
  /(Authorization|Cookies?|Pass(word|wd|phrase|code)|Secrets?|Tokens?|Credentials?|ApiKey|PrivateKey|SigningKey)$/
const replaced = '[redacted]'
const maxDepth = 6
const maxCauses = 5

/** True for names whose values must not be logged: `password`, `x-api-key`, `accessToken`, `WATTLE_SIGNING_KEY`. */
export function isSecretName(name: string): boolean {
  return secretName.test(name) || secretSuffix.test(name)
}

/** A copy of log fields in which secret values, at any depth, are replaced, and of errors only what errorFields takes. */
export function withoutSecrets(fields: Record<string, unknown>): Record<string, unknown> {
  return redactFields(fields, 0)
}

function redactFields(fields: Record<string, unknown>, depth: number): Record<string, unknown> {
  const result: Record<string, unknown> = {}
  for (const name of Object.keys(fields)) {
    const value = fields[name]
    result[name] = isSecretName(name) && isPresent(value) ? replaced : redactValue(value, depth)
  }
  return result
}

function redactValue(value: unknown, depth: number): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (value instanceof Error) return errorFields(value)
  if (depth >= maxDepth) return '[too deep]'
  if (Array.isArray(value)) return value.map((item) => redactValue(item, depth + 1))
  if (value instanceof Date || ArrayBuffer.isView(value)) return value
  if (value instanceof Map || value instanceof Set) return `[${value.constructor.name}]`
  return redactFields(value as Record<string, unknown>, depth + 1)
}

function isPresent(value: unknown): boolean {
  return value !== undefined && value !== null && value !== ''
}

/** What is logged of an error: its name, message, code, stack and causes; never its other properties. */
export function errorFields(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return redactValue(error, 1)
  const { code } = error as { code?: unknown }
  const causes = error instanceof AggregateError ? error.errors : error.cause
  return {
    type: error.name,
    message: error.message,
    ...(typeof code === 'string' || typeof code === 'number' ? { code } : {}),
    stack: error.stack,
    ...(causes === undefined ? {} : { cause: causesOf(causes, depth + 1) }),
  }
}

function causesOf(causes: unknown, depth: number): unknown {
  if (depth > maxCauses) return '[more causes]'
  if (Array.isArray(causes))
    return causes.slice(0, maxCauses).map((cause) => errorFields(cause, depth))
  return errorFields(causes, depth)
}

const urlCredentials = /(:\/\/)[^\s/?#"'@]+@/g
const bearer = /\b(Bearer|Basic) +[A-Za-z0-9._~+/=-]{8,}/g
const jwt = /\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*/g

/** The last net: credentials inside texts such as messages and stacks. */
export function scrubText(line: string): string {
  if (!/:\/\/|Bearer|Basic|eyJ/.test(line)) return line
  return line
    .replace(urlCredentials, `$1${replaced}@`)
    .replace(bearer, `$1 ${replaced}`)
    .replace(jwt, replaced)
}
