import { spawn, type ChildProcess } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { createServer, type AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { migrate } from '@wattle/database'
import { eventually, startDatabase } from '@wattle/testkit'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const withDatabase = ['user', 'billing'] as const

/**
 * The services as processes of their own, on free ports and databases of their own, against a Redis that the test
 * breaks as it likes. Nothing supervises them: one that dies stays dead, and fails the test.
 */
export async function startServices({ redisUrlFor }: { redisUrlFor: (service: string) => string }) {
  const databases = await Promise.all(
    withDatabase.map((service) =>
      startDatabase({ service, migrations: `${root}apps/${service}/migrations`, migrate }),
    ),
  )
  const [gateway, user, billing] = await freePorts(3)
  const at = (port: number | undefined) => `http://127.0.0.1:${port}`
  const common = {
    PATH: process.env.PATH,
    HOME: process.env.HOME,
    WATTLE_ENV: 'test',
    WATTLE_LOG_LEVEL: 'info',
    WATTLE_INTERNAL_JWKS_URL: `${at(gateway)}/.well-known/jwks.json`,
  }
  const outputs: string[] = []
  const processes = [
    start('user', {
      ...common,
      WATTLE_SERVICE_PORT: String(user),
      DATABASE_URL_USER: databases[0]?.url,
      WATTLE_REDIS_CACHE_URL: redisUrlFor('user'),
      WATTLE_ACCESS_SIGNING_KEY: signingKey(),
    }),
    start('billing', {
      ...common,
      WATTLE_SERVICE_PORT: String(billing),
      DATABASE_URL_BILLING: databases[1]?.url,
      WATTLE_REDIS_CACHE_URL: redisUrlFor('billing'),
    }),
    start('gateway', {
      ...common,
      WATTLE_SERVICE_PORT: String(gateway),
      WATTLE_USER_URL: at(user),
      WATTLE_BILLING_URL: at(billing),
      WATTLE_INTERNAL_SIGNING_KEY: signingKey(),
    }),
  ]

  function start(service: string, env: NodeJS.ProcessEnv): ChildProcess {
    const child = spawn(process.execPath, [`apps/${service}/src/main.ts`], {
      cwd: root,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk) => {
        outputs.push(`${service}: ${chunk}`)
        if (outputs.length > 2_000) outputs.splice(0, 1_000)
      })
    }
    return child
  }

  async function stop(): Promise<void> {
    await Promise.all(
      processes.map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null) return
        const exited = new Promise((done) => child.once('exit', done))
        child.kill('SIGKILL')
        await exited
      }),
    )
    await Promise.all(databases.map((database) => database.drop()))
  }

  const urls = { gateway: at(gateway), user: at(user), billing: at(billing) }
  try {
    await eventually(
      async () => {
        const dead = processes.find((child) => child.exitCode !== null)
        if (dead) throw new Error(`a service ended:\n${outputs.slice(-20).join('')}`)
        for (const url of Object.values(urls)) {
          const reply = await fetch(`${url}/readyz`)
          if (!reply.ok) throw new Error(`${url}: ${await reply.text()}`)
        }
      },
      { withinMs: 30_000 },
    )
  } catch (cause) {
    await stop()
    throw cause
  }
  return {
    urls,
    api: `${urls.gateway}/api`,
    /** Whether all of them still run. */
    alive: () => processes.every((child) => child.exitCode === null && child.signalCode === null),
    log: () => outputs.join(''),
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

function signingKey(): string {
  const { privateKey } = generateKeyPairSync('ed25519')
  return privateKey.export({ format: 'pem', type: 'pkcs8' }).toString()
}

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer()
      await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
      return server
    }),
  )
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))))
  return ports
}
