import { spawn, type ChildProcess } from 'node:child_process'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { migrate } from '@wattle/database'
import { freePort } from '@wattle/servers'
import { eventually, startDatabase, type TestDatabase } from '@wattle/testkit'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const names = ['user', 'payment', 'billing', 'gateway'] as const
type Name = (typeof names)[number]

/** A service as a process of its own, that a test kills, freezes and starts again. */
export type ServiceProcess = {
  start(): void
  /** kill -9; resolves when it is gone. */
  kill(): Promise<void>
  freeze(): void
  thaw(): void
  isAlive(): boolean
}

/**
 * All services, on free ports and databases of their own, against Redis groups that the test breaks as it likes.
 * Nothing supervises them: one that dies stays dead until the test starts it again.
 */
export async function startServices({
  cacheUrlFor,
  stateUrlFor,
  env = {},
}: {
  cacheUrlFor: (service: string) => string
  stateUrlFor: (service: string) => string
  /** Over what every service gets. */
  env?: Readonly<Record<string, string>>
}) {
  const database = async (service: Name) =>
    startDatabase({ service, migrations: `${root}apps/${service}/migrations`, migrate })
  const [user, payment, billing] = await Promise.all([
    database('user'),
    database('payment'),
    database('billing'),
  ])
  const databases = { user, payment, billing }
  const urls = {} as Record<Name, string>
  for (const name of names) urls[name] = `http://127.0.0.1:${await freePort()}`

  const own: Record<Name, Record<string, string>> = {
    user: {
      WATTLE_ACCESS_SIGNING_KEY: signingKey(),
      WATTLE_SESSION_SECRET: randomBytes(32).toString('base64'),
    },
    payment: {
      WATTLE_SERVICE_SIGNING_KEY: signingKey(),
      WATTLE_PROCESSOR_SECRET: `whsec_${randomBytes(32).toString('base64')}`,
    },
    billing: {},
    gateway: { WATTLE_INTERNAL_SIGNING_KEY: signingKey() },
  }
  const outputs: string[] = []
  const environmentOf = (name: Name) => ({
    PATH: process.env['PATH'],
    HOME: process.env['HOME'],
    WATTLE_ENV: 'test',
    WATTLE_LOG_LEVEL: 'info',
    WATTLE_SERVICE_PORT: new URL(urls[name]).port,
    WATTLE_INTERNAL_JWKS_URL: `${urls.gateway}/.well-known/jwks.json`,
    WATTLE_USER_URL: urls.user,
    WATTLE_PAYMENT_URL: urls.payment,
    WATTLE_BILLING_URL: urls.billing,
    WATTLE_REDIS_CACHE_URL: cacheUrlFor(name),
    WATTLE_REDIS_STATE_URL: stateUrlFor(name),
    // All clients come from one address.
    WATTLE_RATE_LIMIT_SCALE: '1000',
    ...(name === 'gateway' ? {} : { [`DATABASE_URL_${name.toUpperCase()}`]: databases[name].url }),
    ...own[name],
    ...env,
  })
  const service = (name: Name) => processOf(name, environmentOf(name), outputs)
  const processes = {
    user: service('user'),
    payment: service('payment'),
    billing: service('billing'),
    gateway: service('gateway'),
  }
  const all = Object.values(processes)

  async function whenReady(withinMs = 30_000): Promise<void> {
    await eventually(
      async () => {
        if (!alive()) throw new Error(`a service ended:\n${outputs.slice(-20).join('')}`)
        for (const url of Object.values(urls)) await isUp(url)
      },
      { withinMs },
    )
  }
  const alive = () => all.every((one) => one.isAlive())

  async function stop(): Promise<void> {
    await Promise.all(all.map((one) => one.kill()))
    await Promise.all(Object.values(databases).map((one: TestDatabase) => one.drop()))
  }

  for (const one of all) one.start()
  try {
    await whenReady()
  } catch (cause) {
    await stop()
    throw cause
  }
  return {
    urls,
    api: `${urls.gateway}/api`,
    databases,
    processes,
    whenReady,
    /** Whether all of them run. */
    alive,
    log: () => outputs.join(''),
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

export type Services = Awaited<ReturnType<typeof startServices>>

function processOf(name: Name, env: NodeJS.ProcessEnv, outputs: string[]): ServiceProcess {
  let child: ChildProcess | undefined
  const isAlive = () => child !== undefined && child.exitCode === null && child.signalCode === null
  return {
    isAlive,
    start() {
      child = spawn(process.execPath, [`apps/${name}/src/main.ts`], {
        cwd: root,
        env,
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      for (const stream of [child.stdout, child.stderr]) {
        stream?.on('data', (chunk) => {
          outputs.push(`${name}: ${chunk}`)
          if (outputs.length > 2_000) outputs.splice(0, 1_000)
        })
      }
    },
    async kill() {
      if (!child || !isAlive()) return
      const gone = new Promise((done) => child?.once('exit', done))
      child.kill('SIGKILL')
      await gone
    },
    freeze: () => void child?.kill('SIGSTOP'),
    thaw: () => void child?.kill('SIGCONT'),
  }
}

/** Fails unless the service at this address says that it is ready. */
export async function isUp(url: string): Promise<void> {
  const reply = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(2_000) })
  if (!reply.ok) throw new Error(`${url}: ${await reply.text()}`)
}

function signingKey(): string {
  const { privateKey } = generateKeyPairSync('ed25519')
  return privateKey.export({ format: 'pem', type: 'pkcs8' }).toString()
}
