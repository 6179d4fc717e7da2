import { createServer } from 'node:net'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { freePort, onFreePort, PortTakenError, startRedisServer } from '@wattle/servers'
import { findProgram, temporary } from './support.ts'

const config = (port: number) => `port ${port}\nbind 127.0.0.1\nsave ""\n`

describe('a Redis server', () => {
  it('is ready when it is handed out, and keeps a record and a log while it runs', async () => {
    const directory = temporary()
    const program = await findProgram()
    const server = await onFreePort((port) =>
      startRedisServer({ program, directory, port, config: config(port), dieWithParent: true }),
    )
    const record = join(directory, 'server.pid.json')
    expect(JSON.parse(readFileSync(record, 'utf8'))).toMatchObject({ pid: server.pid })
    expect(readFileSync(server.logFile, 'utf8')).toContain('Ready to accept connections')
    expect(await server.stop()).toEqual({ code: 0, signal: null })
    expect(existsSync(record)).toBe(false)
    expect(server.kill()).toBe(false)
  })

  it('says which port is taken', async () => {
    const holder = createServer()
    onTestFinished(() => void holder.close())
    const port = await freePort()
    await new Promise<void>((resolve) => holder.listen(port, '127.0.0.1', resolve))
    const program = await findProgram()
    const failed = startRedisServer({ program, directory: temporary(), port, config: config(port) })
    await expect(failed).rejects.toThrow(PortTakenError)
    await expect(failed).rejects.toThrow(`port ${port} is taken`)
  })

  it('that does not start says why', async () => {
    const program = await findProgram()
    const port = await freePort()
    const wrong = { program, directory: temporary(), port, config: 'no-such-setting 1\n' }
    await expect(startRedisServer(wrong)).rejects.toThrow(/ended \(1\).*no-such-setting/s)
    const missing = { ...wrong, program: { ...program, command: '/no/such/program' } }
    await expect(startRedisServer(missing)).rejects.toThrow('/no/such/program cannot be started')
  })

  it('that is frozen can still be stopped', async () => {
    const program = await findProgram()
    const server = await onFreePort((port) =>
      startRedisServer({
        program,
        directory: temporary(),
        port,
        config: config(port),
        dieWithParent: true,
      }),
    )
    server.kill('SIGSTOP')
    expect(await server.stop()).toEqual({ code: 0, signal: null })
  })
})
