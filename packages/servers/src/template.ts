import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'

/** A file of `infra/redis/`, without `.tmpl`. */
export type TemplateName =
  | 'node.conf'
  | 'cache.conf'
  | 'state.conf'
  | 'sentinel.conf'
  | 'sentinel-group.conf'
  | 'users.acl'
  | 'service.acl'
  | 'sentinel-users.acl'

const folder = new URL('../../../infra/redis/', import.meta.url)

/**
 * Fills the `${PLACEHOLDERS}` of one or more templates of `infra/redis/`, put one after another.
 * Throws when a value is missing, is not used, or holds a control character (a line break in a value
 * would be another setting).
 */
export function renderTemplate(
  name: TemplateName | readonly TemplateName[],
  values: Readonly<Record<string, string | number>>,
): string {
  const names = typeof name === 'string' ? [name] : name
  const text = names.map((each) => readFileSync(new URL(`${each}.tmpl`, folder), 'utf8')).join('')
  const unused = new Set(Object.keys(values))
  const rendered = withoutComments(text).replace(/\$\{([A-Z0-9_]+)\}/g, (_, key: string) => {
    const value = values[key]
    if (value === undefined) throw new Error(`${names.join(' + ')}: no value for ${key}`)
    // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
    if (/[\x00-\x1f\x7f]/.test(String(value))) {
      throw new Error(`${names.join(' + ')}: the value of ${key} holds a control character`)
    }
    unused.delete(key)
    return String(value)
  })
  if (unused.size > 0) throw new Error(`${names.join(' + ')}: no place for ${[...unused].join()}`)
  return rendered
}

/** Redis refuses comments in ACL files, and what is served to a process is not read by people. */
function withoutComments(text: string): string {
  const lines = text.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('#'))
  return `${lines.join('\n')}\n`
}

/** A password as an ACL file holds it. */
export function sha256(password: string): string {
  return createHash('sha256').update(password).digest('hex')
}
