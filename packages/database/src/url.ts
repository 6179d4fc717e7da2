/**
 * The URL of another database or role on the same server. Kept as text, because a URL with an empty host, as Unix
 * sockets have it (`postgresql://user:password@/database?host=/directory`), is none to the WHATWG parser.
 */
export function changeUrl(
  url: string,
  change: { user?: string; password?: string; database?: string },
): string {
  const parts =
    /^(postgres(?:ql)?:\/\/)(?:([^:@/?]*)(?::([^@/?]*))?@)?([^@/?]*)(?:\/([^?]*))?(\?.*)?$/.exec(
      url,
    )
  if (!parts) {
    throw new Error('A PostgreSQL URL has the form postgresql://user:password@host:port/database')
  }
  const [, scheme, oldUser, oldPassword, host, oldDatabase, query] = parts
  const user = encode(change.user) ?? oldUser
  const password = change.user === undefined ? oldPassword : encode(change.password)
  const credentials = user ? `${user}${password ? `:${password}` : ''}@` : ''
  const database = encode(change.database) ?? oldDatabase ?? ''
  return `${scheme}${credentials}${host}/${database}${query ?? ''}`
}

function encode(text: string | undefined): string | undefined {
  return text === undefined ? undefined : encodeURIComponent(text)
}
