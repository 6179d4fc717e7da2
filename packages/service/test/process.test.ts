import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, test } from 'vitest'
import { eventually } from '@wattle/testkit'
import { ask } from './support.ts'

const fixture = fileURLToPath(new URL('./fixtures/service.ts', import.meta.url))
const children: ChildProcess[] = []

afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
})

function run(env: Record<string, string | undefined> = {}) {
  const child = spawn(process.execPath, [fixture], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: process.env['PATH'],
      WATTLE_ENV: 'test',
      WATTLE_SERVICE_PORT: '0',
      FIXTURE_DATABASE_URL: 'postgres://billing:hunter2@db/billing',
      ...env,
    },
  })
  children.push(child)
  const output = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text))
  // Registered at once, so that an end before the first await is not missed.
  const ended = once(child, 'close').then(([code, signal]: unknown[]) => ({ code, signal }))
  return {
    child,
    output,
    ended,
    async url() {
      return eventually(
        () => {
          const match = /listening on (http:\/\/[^"]+)"/.exec(output.stdout)
          if (match?.[1] === undefined)
            throw new Error(`not listening: ${output.stdout}${output.stderr}`)
          return match[1]
        },
        { withinMs: 15_000 },
      )
    },
    async saw(text: string) {
      await eventually(() => expect(output.stdout).toContain(text))
    },
  }
}

describe('R3: one wrong value stops the process with one sentence that names it', () => {
  test.each([
    [
      'a missing port',
      { WATTLE_SERVICE_PORT: undefined },
      /^fixture: WATTLE_SERVICE_PORT is missing: give a TCP port in this variable or in a file named by WATTLE_SERVICE_PORT_FILE\.\n$/,
    ],
    [
      'a wrong port',
      { WATTLE_SERVICE_PORT: '70000' },
      /^fixture: WATTLE_SERVICE_PORT must be at most 65535: correct its value\.\n$/,
    ],
    [
      'an unknown environment',
      { WATTLE_ENV: 'prod' },
      /^fixture: WATTLE_ENV must be development, test, staging or production: correct its value\.\n$/,
    ],
    [
      'a wrong URL',
      { FIXTURE_DATABASE_URL: 'mysql://u:hunter2@db' },
      /^fixture: FIXTURE_DATABASE_URL must be a URL that begins with postgres:\/\/: correct its value\.\n$/,
    ],
  ])('%s', async (_name, env, sentence) => {
    const { output, ended } = run(env)
    expect(await ended).toEqual({ code: 78, signal: null })
    expect(output.stderr).toMatch(sentence)
    expect(output.stderr + output.stdout).not.toContain('hunter2')
  })

  test('a port that is taken', async () => {
    const holder = createServer().listen(0, '127.0.0.1')
    await once(holder, 'listening')
    const { port } = holder.address() as { port: number }
    const { output, ended } = run({ WATTLE_SERVICE_PORT: String(port) })
    expect(await ended).toEqual({ code: 1, signal: null })
    expect(output.stderr).toBe(
      `fixture: port ${port} on 127.0.0.1 is taken by another process: set WATTLE_SERVICE_PORT to a free one.\n`,
    )
    expect(output.stdout).toContain('closed second\nclosed first')
    holder.close()
  })

  test('an address of another machine', async () => {
    const { output, ended } = run({ WATTLE_SERVICE_HOST: '192.0.2.1' })
    expect((await ended).code).toBe(1)
    expect(output.stderr).toBe(
      'fixture: the address 192.0.2.1 does not belong to this machine: correct WATTLE_SERVICE_HOST.\n',
    )
  })

  test('a start that fails closes what it opened', async () => {
    const { output, ended } = run({ FIXTURE: 'start fails' })
    expect((await ended).code).toBe(1)
    expect(output.stderr).toContain('no such table')
    expect(output.stdout).toContain('closed second\nclosed first')
  })
})

describe('M1: a process that is told to stop', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)(
    'by %s ends with 0, closing in reverse order',
    async (signal) => {
      const service = run()
      await service.url()
      service.child.kill(signal)
      expect(await service.ended).toEqual({ code: 0, signal: null })
      expect(service.output.stdout).toMatch(
        /"stopping"[^]*closed second\nclosed first\n[^]*"stopped"/,
      )
      expect(service.output.stderr).toBe('')
    },
  )

  test('finishes the requests in flight, takes no new connection, and is not held up by idle ones', async () => {
    const service = run()
    const url = await service.url()
    expect((await ask(`${url}/livez`)).status).toBe(200)
    const slow = ask(`${url}/slow?ms=700`)
    await service.saw('slow began')
    service.child.kill('SIGTERM')
    await eventually(async () => {
      await expect(fetch(`${url}/livez`, { headers: { connection: 'close' } })).rejects.toThrow(
        'fetch failed',
      )
    })
    const { status, text, headers } = await slow
    expect([status, text]).toEqual([200, '{"done":true}'])
    expect(headers.get('connection')).toBe('close')
    const startMs = performance.now()
    expect((await service.ended).code).toBe(0)
    expect(performance.now() - startMs).toBeLessThan(3_000)
  })

  test('serves on, unready, for the lame-duck time', async () => {
    const service = run({ WATTLE_LAME_DUCK_MS: '2500' })
    const url = await service.url()
    service.child.kill('SIGTERM')
    await eventually(async () => expect((await ask(`${url}/readyz`)).status).toBe(503), {
      withinMs: 2_000,
    })
    expect((await ask(`${url}/slow?ms=1`)).status).toBe(200)
    expect((await service.ended).code).toBe(0)
  })

  test('cuts off what takes longer than WATTLE_DRAIN_MS, and says so by its exit code', async () => {
    const service = run({ WATTLE_DRAIN_MS: '200' })
    const url = await service.url()
    const slow = ask(`${url}/slow?ms=60000`)
    slow.catch(() => undefined)
    await service.saw('slow began')
    const startMs = performance.now()
    service.child.kill('SIGTERM')
    expect((await service.ended).code).toBe(1)
    expect(performance.now() - startMs).toBeLessThan(3_000)
    await expect(slow).rejects.toThrow('fetch failed')
    expect(service.output.stdout).toContain('closed first')
  })

  test('twice ends at once', async () => {
    const service = run({ WATTLE_LAME_DUCK_MS: '60000' })
    await service.url()
    service.child.kill('SIGTERM')
    await service.saw('"stopping"')
    service.child.kill('SIGINT')
    expect(await service.ended).toEqual({ code: 130, signal: null })
  })

  test('ends though something will not close', async () => {
    const service = run({ FIXTURE: 'close hangs' })
    await service.url()
    service.child.kill('SIGTERM')
    expect((await service.ended).code).toBe(1)
    expect(service.output.stdout).toMatch(/"closing":"stuck"[^]*closed second\nclosed first/)
  })
})

describe('a bug that nothing catches', () => {
  test.each(['/crash', '/reject'])('(%s) is logged and ends the process', async (path) => {
    const service = run()
    const url = await service.url()
    await fetch(`${url}${path}`).catch(() => undefined)
    expect((await service.ended).code).toBe(1)
    expect(service.output.stdout).toMatch(/"level":"fatal".*(a bug|nobody listens)/)
  })
})
