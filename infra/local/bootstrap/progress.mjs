// One line that shows what an install is doing, from what npm logs.
import { expectedPackages } from './installed.mjs'

const everyMs = 1_000
const everyWithoutTerminalMs = 10_000

/**
 * @param {{ root: string, out: NodeJS.WriteStream }} options
 */
export function createProgress({ root, out }) {
  const begun = Date.now()
  const expected = expectedPackages(root)
  let fetched = 0
  let stage = 'reading the lock file'
  let shown = ''
  const seconds = () => Math.round((Date.now() - begun) / 1000)

  const show = () => {
    const line = `Installing packages: ${stage} (${seconds()} s)`
    if (out.isTTY) out.write(`\r\x1b[2K${line}`)
    else out.write(`${line}\n`)
    shown = line
  }
  const setStage = (/** @type {string} */ next) => {
    const another = next.replace(/\d+/g, '') !== stage.replace(/\d+/g, '')
    stage = next
    if (another) show()
  }
  const endLine = () => {
    if (out.isTTY && shown) out.write('\r\x1b[2K')
    shown = ''
  }

  out.write(`Installing ${expected} packages, once for this version of package-lock.json.\n`)
  show()
  const timer = setInterval(show, out.isTTY ? everyMs : everyWithoutTerminalMs)

  return {
    /** Takes a line that npm logged. @param {string} line */
    read(line) {
      if (/^npm http (fetch|cache) .*\.tgz/.test(line)) {
        fetched += 1
        setStage(`fetching, ${Math.min(fetched, expected)} of ${expected}`)
        return
      }
      const script = /^npm info run (\S+)@\S+ (pre|post)?install \S+ [^{]/.exec(line)
      if (script) setStage(`running the install script of ${script[1]}`)
    },
    /** @param {string} text */
    note(text) {
      endLine()
      out.write(`Note: ${text}\n`)
    },
    done() {
      endLine()
      out.write(`Packages installed in ${seconds()} s.\n`)
    },
    stop() {
      clearInterval(timer)
      endLine()
    },
  }
}
