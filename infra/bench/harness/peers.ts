import { fileURLToPath } from 'node:url'
import { install, InstallError } from '../../local/bootstrap/install.mjs'
import { isInstalled } from '../../local/bootstrap/installed.mjs'

/** Where the packages that benchmarks compare with are listed, and installed. */
const folder = fileURLToPath(new URL('..', import.meta.url))

/**
 * Installs what infra/bench/package-lock.json lists, unless it is there. Ctrl-C ends the install and this process.
 *
 * @returns a sentence when it failed
 */
export async function installPeers(out: NodeJS.WriteStream): Promise<string | undefined> {
  if (isInstalled(folder)) return undefined
  const abort = new AbortController()
  const stop = () => abort.abort()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop)
  try {
    out.write('The libraries to compare with are installed in infra/bench/node_modules.\n')
    await install({ root: folder, out, signal: abort.signal })
    return undefined
  } catch (error) {
    if (abort.signal.aborted) return 'The install was interrupted; the next run starts it anew.'
    if (error instanceof InstallError) return error.message
    throw error
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.off(signal, stop)
  }
}
