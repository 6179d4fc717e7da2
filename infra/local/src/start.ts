import { acquireLock } from '../bootstrap/lock.mjs'
import { seconds } from './backoff.ts'
import { printReady } from './banner.ts'
import { watchSources } from './dev.ts'
import { openHome, root } from './home.ts'
import { createOutput } from './output.ts'
import { planPorts } from './ports.ts'
import { Problem, wordsFor } from './problem.ts'
import { listServices } from './service-list.ts'
import { onStopRequest } from './signals.ts'
import { createStack, peopleFile, type Stack } from './stack.ts'

/** `npm start` and `npm run dev`: runs the stack until it is asked to stop. Resolves with the exit code. */
export async function startCommand(options: {
  env: NodeJS.ProcessEnv
  fresh: boolean
  seed: boolean
  watch: boolean
}): Promise<number> {
  const { env, fresh, seed, watch } = options
  const begun = performance.now()
  const ports = planPorts(env)
  const home = openHome(env)
  const lock = await acquireLock(home.lock, { note: watch ? 'npm run dev' : 'npm start' })
  if (!lock.acquired) {
    throw new Problem(
      `Wattle is running already: ${lock.note}, process ${lock.holder.pid}, since ${lock.since}. Stop it with "npm run stop"${fresh ? ' first: --fresh deletes its data' : ''}, or set WATTLE_HOME and the port bases for a second stack.`,
    )
  }
  const names = listServices().map(({ name }) => name)
  const output = createOutput({ stream: process.stdout, sources: names })
  const stack = createStack({ env, home, ports, output, fresh, seed, strict: !watch })
  const asked = Promise.withResolvers<void>()
  let isAsked = false
  let code = 0
  onStopRequest({
    onStop(reason) {
      isAsked = true
      output.say(`Stopping (${reason}) …`)
      void stack.stop()
      asked.resolve()
    },
    onHurry() {
      output.warn('Killing what has not stopped yet')
      void stack.kill()
    },
  })
  process.on('uncaughtException', (error) => {
    output.fail(`A defect in the supervisor: ${error.stack ?? error.message}`)
    code = 1
    void stack.stop()
    asked.resolve()
  })

  try {
    const { redis, postgres } = await stack.start()
    const watcher = watch ? watchStack(stack, output) : undefined
    await stack.whenReady()
    printReady({
      output,
      ports,
      peopleFile,
      redisVersion: redis.version,
      databases: postgres
        ? `${postgres.server.version}, on a socket in ${postgres.server.socketDirectory}`
        : 'from outside',
      home: home.directory,
      seconds: seconds(performance.now() - begun),
    })
    await asked.promise
    watcher?.close()
  } catch (error) {
    if (!isAsked) {
      output.fail(wordsFor(error))
      code = 1
    }
  }
  await stack.stop()
  lock.release()
  output.say('Everything is stopped.')
  return code
}

function watchStack(stack: Stack, output: ReturnType<typeof createOutput>) {
  return watchSources({
    root,
    services: stack.services.map(({ definition }) => definition.name),
    async onChange(name, files) {
      const service = stack.services.find(({ definition }) => definition.name === name)
      if (!service) return
      const [first, ...others] = files
      output.say(
        `${name}: ${first}${others.length > 0 ? ` and ${others.length} more` : ''} changed; restarting it`,
      )
      try {
        if (files.some((file) => file.endsWith('.sql'))) await stack.migrate(service.definition)
        await service.restart()
      } catch (error) {
        output.fail(wordsFor(error))
      }
    },
  })
}
