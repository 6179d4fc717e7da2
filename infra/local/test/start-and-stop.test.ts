import { connect, createServer, type AddressInfo } from 'node:net'
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newPerson, ok, post } from './person.ts'
import {
  choosePlace,
  expectNothingLeft,
  launch,
  processesOf,
  readyLine,
  runToEnd,
  type Place,
  type Run,
} from './stack.ts'

let place: Place
let run: Run | undefined
beforeAll(async () => {
  place = await choosePlace()
})
afterAll(async () => {
  await runToEnd(place, 'stop')
  place.remove()
})

/** The stack of this file, started unless it runs. */
async function running(): Promise<Run> {
  run ??= launch(place, 'start')
  await run.says(readyLine(place))
  return run
}

async function stopped(): Promise<void> {
  await runToEnd(place, 'stop')
  run = undefined
}

const api = () => `http://127.0.0.1:${place.ports.services['gateway']}/api`

describe('R5 npm start', { timeout: 60_000 }, () => {
  test('starts everything, prints addresses and logins, and last the line that scripts wait for', async () => {
    const output = (await running()).output()
    for (const port of Object.values(place.ports.services)) {
      expect(output).toContain(`http://localhost:${port}`)
      expect((await fetch(`http://127.0.0.1:${port}/readyz`)).status).toBe(200)
    }
    expect(output).toMatch(/adaeze\.okafor@example\.com +\S+ +Adaeze Okafor/)
    expect(output).not.toContain('\u001B[')
    const ports = [...place.ports.cache, ...place.ports.state, ...place.ports.sentinels]
    for (const port of ports) await expect(canConnect(port)).resolves.toBe(true)
  })

  test('a second start says who runs already and how to stop it, and disturbs nothing', async () => {
    const first = await running()
    const second = await runToEnd(place, 'start')
    expect(second.code).toBe(1)
    expect(second.output).toContain(`process ${first.pid}`)
    expect(second.output).toContain('npm run stop')
    expect((await fetch(`${api()}/providers`)).status).toBe(200)
    const fresh = await runToEnd(place, 'start', ['--fresh'])
    expect(fresh).toMatchObject({ code: 1, output: expect.stringContaining('--fresh deletes') })
  })

  test('is ready again after its supervisor was killed with -9, with all data', async () => {
    const first = await running()
    const before = await newPerson(api())
    first.kill('SIGKILL')
    expect(await first.ended).toBe('SIGKILL')
    run = undefined
    const second = await running()
    expect(second.output()).toContain('left running')
    const authorization = `Bearer ${before.token}`
    const me = await fetch(`${api()}/me`, { headers: { authorization } })
    expect(await ok<{ name: string }>(me)).toMatchObject({ name: before.name })
    expect(processesOf(place).filter((text) => text.includes('/apps/'))).toHaveLength(
      Object.keys(place.ports.services).length,
    )
  })

  test('npm run stop stops it from another terminal', async () => {
    const first = await running()
    const { code, output } = await runToEnd(place, 'stop')
    expect({ code, output }).toMatchObject({ code: 0, output: expect.stringContaining('stopped') })
    run = undefined
    expect(await first.ended).toBe(0)
    await expectNothingLeft(place)
  })

  test('npm run stop stops what a killed supervisor left running', async () => {
    const first = await running()
    first.kill('SIGKILL')
    await first.ended
    expect(processesOf(place).length).toBeGreaterThan(10)
    const { output } = await runToEnd(place, 'stop')
    run = undefined
    expect(output).toMatch(/left running: .*billing.* 9 Redis servers and PostgreSQL/)
    await expectNothingLeft(place)
  })

  test('npm run stop says so when nothing runs', async () => {
    await stopped()
    const { code, output } = await runToEnd(place, 'stop')
    expect({ code, output }).toEqual({ code: 0, output: 'Nothing is running.\n' })
  })

  test('--fresh begins from empty data, and keeps the passwords', async () => {
    await running()
    const email = 'gone@example.com'
    const password = 'correct horse battery'
    await ok(await post(`${api()}/auth/register`, { email, password, name: 'Gone' }))
    await stopped()
    const passwords = join(place.home, 'secrets', 'passwords.json')
    const made = statSync(passwords).birthtimeMs
    run = launch(place, 'start', ['--fresh'])
    await run.says(readyLine(place))
    expect((await post(`${api()}/auth/login`, { email, password })).status).toBe(401)
    expect(statSync(passwords).mode & 0o077).toBe(0)
    expect(made).toBeGreaterThan(0)
  })

  test('a taken port is named, with its holder and what moves it, and nothing is started', async () => {
    await stopped()
    const server = createServer().listen(place.ports.state[1], '127.0.0.1')
    try {
      const { code, output } = await runToEnd(place, 'start')
      expect(code).toBe(1)
      expect(output).toContain(`Port ${(server.address() as AddressInfo).port} for Redis "state" 2`)
      expect(output).toContain(`process ${process.pid}`)
      expect(output).toContain('WATTLE_STATE_PORT_BASE')
      expect(existsSync(join(place.home, 'run', 'supervisor.lock'))).toBe(false)
      await expectNothingLeft(place)
    } finally {
      server.close()
    }
  })
})

function canConnect(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}
