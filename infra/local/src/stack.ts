import { rmSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import {
  externalDatabase,
  isSeeded,
  localDatabase,
  migrateService,
  seedService,
  type ServiceDatabase,
} from './databases.ts'
import { endDescendants } from './descendants.ts'
import type { Home } from './home.ts'
import { stopLeftovers, stopLeftServers } from './leftovers.ts'
import type { Output } from './output.ts'
import { takenPorts, type Ports } from './ports.ts'
import { startPostgres, type Postgres } from './postgres.ts'
import { Problem, wordsFor } from './problem.ts'
import { startRedis, type Redis } from './redis.ts'
import { openSecrets } from './secrets.ts'
import { serviceEnvironment } from './service-environment.ts'
import { createService, type Service } from './service.ts'
import { listServices, type ServiceDefinition } from './service-list.ts'
import { untilReady } from './until-ready.ts'

/** The people whose logins are printed, and whom the services' seed programs read. */
export const peopleFile = fileURLToPath(new URL('../demo/people.json', import.meta.url))

const stopWithinMs = 25_000
const patienceMs = 10_000

export type StackOptions = {
  env: NodeJS.ProcessEnv
  home: Home
  ports: Ports
  output: Output
  /** Begin from empty data. */
  fresh: boolean
  /** Demo data for databases given from outside, too. */
  seed: boolean
  /** A service that is misconfigured or does not come up ends the start. False when it can still be mended (dev). */
  strict: boolean
}

export type Stack = ReturnType<typeof createStack>

/** Everything that `npm start` runs. It must hold the lock of its home. */
export function createStack(options: StackOptions) {
  const { env, home, ports, output, fresh, seed, strict } = options
  const stopping = new AbortController()
  const { signal } = stopping
  const definitions = listServices()
  const databases = new Map<string, ServiceDatabase>()
  const services: Service[] = []
  let redis: Promise<Redis> | undefined
  let postgres: Promise<Postgres> | undefined
  let seeding: Promise<unknown> | undefined

  /**
   * Starts everything, and resolves when the services have been started; see `whenReady`. Throws a Problem, or the reason
   * of the abort when `stop` was called.
   */
  async function start(): Promise<{ redis: Redis; postgres: Postgres | undefined }> {
    const left = await stopLeftServers(home)
    if (left) output.say(`Stopped what an earlier stack had left running: ${left}`)
    const taken = await takenPorts(ports)
    if (taken.length > 0) throw new Problem(taken.join('\n'))
    signal.throwIfAborted()
    if (fresh) emptyData(home)

    const names = definitions.map(({ name }) => name)
    const secrets = openSecrets(home.secrets, names)
    redis = startRedis({ home, ports, secrets, output, signal })
    const [startedRedis, startedPostgres] = await Promise.all([
      redis.then((started) => {
        started.supervise(signal)
        output.say(`Redis ${started.version}: both groups and the Sentinels are up`)
        return started
      }),
      startDatabases(secrets),
    ])
    signal.throwIfAborted()

    const environmentOf = (name: string) =>
      serviceEnvironment(name, {
        env,
        home,
        ports,
        secrets,
        databaseUrl: databases.get(name)?.url,
        redisUrl: (group, user) => startedRedis.topology.url(group, user),
      })
    for (const definition of definitions) {
      const port = ports.services[definition.name] ?? 0
      const service = createService({
        definition,
        port,
        env: environmentOf(definition.name),
        home,
        output,
        signal,
        mayAskReadiness: allAlive,
        ...(strict ? {} : { hint: '; a change of its files starts it' }),
      })
      services.push(service)
      service.start()
    }
    output.say(`Starting the services ${names.join(', ')}`)
    seeding = Promise.all(
      definitions.map((definition) => seedOnce(definition, environmentOf(definition.name))),
    )
    return { redis: startedRedis, postgres: startedPostgres }
  }

  /** A service that does not come up must not hide that others are ready. */
  async function allAlive(): Promise<void> {
    await Promise.race([Promise.all(services.map(({ alive }) => alive)), delay(patienceMs)])
  }

  async function startDatabases(
    secrets: ReturnType<typeof openSecrets>,
  ): Promise<Postgres | undefined> {
    const stored = definitions.filter(({ migrations }) => migrations !== undefined)
    for (const { name } of stored) {
      const external = externalDatabase(name, env)
      if (external) databases.set(name, external)
    }
    const local = stored.filter(({ name }) => !databases.has(name))
    if (local.length > 0) postgres = startPostgres({ home, output, fresh })
    const started = await postgres
    started?.supervise(signal)
    signal.throwIfAborted()
    // A service's role has no business in the databases that every cluster has.
    await started?.server.query(
      'revoke connect, temporary on database postgres, template1 from public',
    )
    // One after another: they would only wait for the lock on roles, which all share.
    for (const { name } of local) {
      databases.set(name, await localDatabase(name, started?.server.url() ?? '', secrets))
    }
    const applied = await Promise.all(stored.map(migrate))
    const count = applied.flat().length
    const version = started ? `PostgreSQL ${started.server.version}` : 'PostgreSQL from outside'
    output.say(
      `${version}: the databases are up${count > 0 ? `, ${count} migrations applied` : ''}`,
    )
    return started
  }

  async function migrate(definition: ServiceDefinition): Promise<readonly string[]> {
    const database = databases.get(definition.name)
    return database ? migrateService(definition, database) : []
  }

  async function seedOnce(definition: ServiceDefinition, serviceEnv: NodeJS.ProcessEnv) {
    const database = databases.get(definition.name)
    if (!definition.seed || !database) return
    const isWanted = seed || (!database.external && !isSeeded(home, definition.name))
    if (!isWanted) return
    try {
      const said = await seedService({ definition, env: serviceEnv, home, peopleFile, signal })
      output.say(`Demo data: ${said}`)
    } catch (error) {
      if (signal.aborted) return
      output.fail(`${wordsFor(error)}\nThe demo data are missing; the next start tries again.`)
    }
  }

  /** Services first, so that they can finish what they have begun; then what they stand on. */
  async function stopInOrder(): Promise<void> {
    await Promise.all(services.map((service) => service.stop()))
    await Promise.allSettled([
      redis?.then(({ topology }) => topology.stop()),
      postgres?.then((started) => started.stop()),
    ])
    await endDescendants(1_000)
    // A start of PostgreSQL that failed half-way may have left it running.
    if (postgres) await stopLeftovers(home)
  }

  async function kill(): Promise<void> {
    for (const service of services) service.kill('SIGKILL')
    await Promise.race([
      Promise.allSettled([
        redis?.then(({ topology }) => topology.servers.map((server) => server.kill('SIGKILL'))),
        // Its immediate shutdown: what was committed is recovered at the next start.
        postgres?.then(({ server }) => server.kill('SIGQUIT')),
      ]),
      endDescendants(0),
    ])
  }

  let stopped: Promise<void> | undefined
  return {
    start,
    /** Resolves when every service is ready and the demo data are there. Throws as `start` does. */
    async whenReady() {
      await Promise.all([untilReady({ services, signal, strict }), seeding])
      signal.throwIfAborted()
    },
    services,
    migrate,
    /** Stops everything, within a bound. May be called at any moment, also while `start` is under way. */
    stop() {
      stopping.abort(new Error('the stack is being stopped'))
      stopped ??= withBound()
      return stopped
    },
    /** Ends everything at once; `stop` then resolves soon. */
    kill,
  }

  async function withBound(): Promise<void> {
    const done = stopInOrder().catch((error: unknown) => output.fail(wordsFor(error)))
    if (await settlesWithin(done, stopWithinMs)) return
    output.warn(`Not everything has stopped within ${stopWithinMs / 1000} s; it is killed`)
    await kill()
    await settlesWithin(done, 3_000)
  }
}

async function settlesWithin(work: Promise<unknown>, withinMs: number): Promise<boolean> {
  const late = Promise.withResolvers<false>()
  const timer = setTimeout(() => late.resolve(false), withinMs)
  const inTime = await Promise.race([work.then(() => true), late.promise])
  clearTimeout(timer)
  return inTime
}

/** PostgreSQL's data are removed by its own start, which knows where they are. */
function emptyData(home: Home): void {
  rmSync(home.redis, { recursive: true, force: true })
  rmSync(home.seeded, { force: true })
}
