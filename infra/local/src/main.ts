import { parseArgs } from 'node:util'
import { doctorCommand } from './doctor.ts'
import { Problem } from './problem.ts'
import { startCommand } from './start.ts'
import { stopCommand } from './stop.ts'

const { env } = process
const stackOptions = { fresh: { type: 'boolean' }, seed: { type: 'boolean' } } as const

process.exit(await main(process.argv.slice(2)))

async function main([command, ...args]: string[]): Promise<number> {
  try {
    switch (command) {
      case 'start':
      case 'dev': {
        const { values } = parseArgs({ args, options: stackOptions })
        const { fresh = false, seed = false } = values
        return await startCommand({ env, fresh, seed, watch: command === 'dev' })
      }
      case 'stop':
        parseArgs({ args, options: {} })
        return await stopCommand({ env })
      case 'doctor':
        parseArgs({ args, options: {} })
        return await doctorCommand({ env })
      default:
        throw new Problem(`There is no command "${command}".`)
    }
  } catch (error) {
    const isUsage = (error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS') === true
    if (!isUsage && !(error instanceof Problem)) throw error
    const hint = isUsage ? ` Add "-- --help" for the options.` : ''
    const text = (error as Error).message.replace(/\.?$/, isUsage ? '.' : '$&')
    process.stderr.write(`${text}${hint}\n`)
    return isUsage ? 2 : 1
  }
}
