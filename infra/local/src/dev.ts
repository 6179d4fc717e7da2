import { existsSync, readFileSync, watch, type FSWatcher } from 'node:fs'
import { join, relative } from 'node:path'

/** An editor writes a file in several steps, and a person saves several files. */
const quietMs = 150

/**
 * Calls `onChange` for each service whose own files, or those of a package that it imports directly or through
 * another, have changed; one call at a time for a service, with the paths since the last.
 */
export function watchSources(options: {
  /** The repo. */
  root: string
  services: readonly string[]
  onChange: (service: string, files: string[]) => Promise<void>
}): { close: () => void } {
  const { root, services, onChange } = options
  const pending = new Map<string, Set<string>>()
  const timers = new Map<string, NodeJS.Timeout>()
  const busy = new Map<string, Promise<void>>()
  const watchers: FSWatcher[] = []

  function changed(service: string, file: string) {
    pending.set(service, (pending.get(service) ?? new Set()).add(file))
    clearTimeout(timers.get(service))
    timers.set(
      service,
      setTimeout(() => {
        const before = busy.get(service) ?? Promise.resolve()
        busy.set(
          service,
          before.then(() => {
            const files = [...(pending.get(service) ?? [])]
            pending.delete(service)
            return files.length > 0 ? onChange(service, files) : undefined
          }),
        )
      }, quietMs),
    )
  }

  for (const [folder, users] of foldersOf(root, services)) {
    const watcher = watch(folder, { recursive: true }, (_event, name) => {
      if (name === null || !isSource(name)) return
      for (const service of users) changed(service, relative(root, join(folder, name)))
    })
    watchers.push(watcher)
  }
  return {
    close() {
      for (const watcher of watchers) watcher.close()
      for (const timer of timers.values()) clearTimeout(timer)
    },
  }
}

function isSource(name: string): boolean {
  return /\.(ts|mjs|js|json|lua|sql)$/.test(name) && !/(^|\/)\./.test(name)
}

/** Folder → the services that depend on it. */
function foldersOf(root: string, services: readonly string[]): Map<string, string[]> {
  const users = new Map<string, string[]>()
  for (const service of services) {
    const folders = [
      join(root, 'apps', service, 'src'),
      join(root, 'apps', service, 'migrations'),
      ...importedPackages(root, join(root, 'apps', service)).map((folder) => join(folder, 'src')),
    ]
    for (const folder of folders.filter((path) => existsSync(path))) {
      users.set(folder, [...(users.get(folder) ?? []), service])
    }
  }
  return users
}

function importedPackages(root: string, app: string): string[] {
  const found = new Set<string>()
  const visit = (folder: string) => {
    const { dependencies = {} } = JSON.parse(
      readFileSync(join(folder, 'package.json'), 'utf8'),
    ) as { dependencies?: Record<string, string> }
    for (const name of Object.keys(dependencies)) {
      const imported = join(root, 'packages', name.replace('@wattle/', ''))
      if (!name.startsWith('@wattle/') || found.has(imported) || !existsSync(imported)) continue
      found.add(imported)
      visit(imported)
    }
  }
  visit(app)
  return [...found]
}
