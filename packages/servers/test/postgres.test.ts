import { spawn } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import {
  findPostgres,
  startPostgres,
  type PostgresServer,
  type PostgresSource,
  type StartPostgresOptions,
} from '@wattle/servers'
import { temporary, until } from './support.ts'

/** A directory that PostgreSQL's account can reach. */
function open(): string {
  const path = temporary()
  chmodSync(path, 0o755)
  return join(path, 'postgres')
}

async function start(options: StartPostgresOptions): Promise<PostgresServer> {
  const server = await startPostgres({ dieWithParent: true, ...options })
  onTestFinished(() => server.destroy())
  return server
}

vi.setConfig({ testTimeout: 60_000 })

/** Cases that only concern root; on Linux, where such a root is found. */
const root = process.platform === 'linux' && process.getuid?.() === 0 ? ['root'] : []
const present: PostgresSource[] = []
for (const source of ['system', 'path', 'embedded'] as const) {
  const found = await findPostgres({ sources: [source] }).catch(() => undefined)
  if (found) present.push(source)
  else console.log(`PostgreSQL from "${source}" is not tested here: there is none`)
}

describe.each(present)('PostgreSQL (%s)', (source) => {
  it('starts on a socket alone, keeps its data, and wants a password', async () => {
    const directory = open()
    const programs = await findPostgres({ sources: [source] })
    let server = await start({ directory, programs })
    await server.query('create table kept as select 1 as one')
    const [listen] = await server.query('show listen_addresses')
    expect(listen).toEqual({ listen_addresses: '' })
    await server.query(`create role somebody login password 'right'`)
    await server.stop()
    server = await start({ directory, programs })
    expect(server.adopted).toBe(false)
    expect(await server.query('select * from kept')).toEqual([{ one: 1 }])
    expect(new URL(server.url('postgres', 'somebody', 'right')).password).toBe('right')
  })
})

describe('PostgreSQL', () => {
  it('that runs already on the directory is taken over, not started twice', async () => {
    const directory = open()
    const first = await start({ directory })
    const second = await start({ directory })
    expect(second).toMatchObject({ adopted: true, pid: first.pid })
    expect(await second.query('select 1 as one')).toEqual([{ one: 1 }])
  })

  it('that was killed with -9 comes back with everything committed, at once', async () => {
    const directory = open()
    const killed = await start({ directory })
    await killed.query('create table kept as select 1 as one')
    const busy = killed.query('select pg_sleep(600)').then(
      () => 'answered',
      () => 'lost',
    )
    const sleeping = `select from pg_stat_activity where wait_event = 'PgSleep'`
    await until(async () => (await killed.query(sleeping)).length === 1)
    expect(killed.kill()).toBe(true)
    const server = await start({ directory })
    expect(server.adopted).toBe(false)
    expect(await server.query('select * from kept')).toEqual([{ one: 1 }])
    expect(await busy).toBe('lost')
    await killed.exited
  })

  it('starts although the pid file names a process that is something else by now', async () => {
    const directory = open()
    const before = await start({ directory })
    const file = join(before.dataDirectory, 'postmaster.pid')
    const text = readFileSync(file, 'utf8')
    await before.stop()
    const stranger = spawn('sleep', ['600'])
    onTestFinished(() => void stranger.kill('SIGKILL'))
    writeFileSync(file, text.replace(/^\d+/, String(stranger.pid)))
    const server = await start({ directory })
    expect(await server.query('select 1 as one')).toEqual([{ one: 1 }])
    expect(stranger.exitCode).toBeNull()
  })

  it('wakes and takes over a server that was frozen', async () => {
    const directory = open()
    const frozen = await start({ directory })
    frozen.kill('SIGSTOP')
    const server = await start({ directory })
    expect(server).toMatchObject({ adopted: true, pid: frozen.pid })
  })

  it('finds a short place for its socket when the path is too long for one', async () => {
    const directory = join(open(), 'a-rather-long-name'.repeat(6))
    const server = await start({ directory })
    expect(server.socketDirectory.startsWith(directory)).toBe(false)
    expect(Buffer.byteLength(`${server.socketDirectory}/.s.PGSQL.5432`)).toBeLessThan(104)
    await server.destroy()
    expect(existsSync(server.socketDirectory)).toBe(false)
  })

  it.each(root)('for %s runs as somebody else', async () => {
    const server = await start({ directory: open() })
    expect(statSync(`/proc/${server.pid}`).uid).not.toBe(0)
  })

  it.each(root)('for %s finds a place that its account can reach, the same each time', async () => {
    // The temporary directory is closed to others.
    const directory = join(temporary(), 'postgres')
    const lines: string[] = []
    const server = await start({ directory, log: (line) => lines.push(line) })
    expect(server.dataDirectory.startsWith(directory)).toBe(false)
    expect(lines.join('\n')).toContain(`cannot reach ${directory}`)
    await server.query('create table kept as select 1 as one')
    await server.stop()
    const again = await start({ directory })
    expect(await again.query('select * from kept')).toEqual([{ one: 1 }])
  })

  it.each(present.includes('embedded') ? root : [])(
    'for %s copies programs that its account cannot reach',
    async () => {
      const found = await findPostgres({ sources: ['embedded'] })
      const relocatable = join(temporary(), 'native')
      cpSync(dirname(found.bin), relocatable, { recursive: true, verbatimSymlinks: true })
      const programs = { ...found, bin: join(relocatable, 'bin'), relocatable }
      const server = await start({ directory: open(), programs })
      expect(await server.query('select 1 as one')).toEqual([{ one: 1 }])
    },
  )

  it('begins with empty data when asked, although a server runs on the old', async () => {
    const directory = open()
    const old = await start({ directory })
    await old.query('create table kept as select 1 as one')
    const server = await start({ directory, fresh: true })
    expect(old.isRunning()).toBe(false)
    await expect(server.query('select * from kept')).rejects.toThrow('does not exist')
  })

  it('leaves nothing when it is destroyed', async () => {
    const directory = open()
    const server = await start({ directory })
    await server.destroy()
    expect(server.isRunning()).toBe(false)
    expect(existsSync(server.dataDirectory) || existsSync(server.socketDirectory)).toBe(false)
  })

  it('says which version the data need when only another is found', async () => {
    const directory = open()
    mkdirSync(join(directory, 'data'), { recursive: true })
    writeFileSync(join(directory, 'data/PG_VERSION'), '9\n')
    await expect(startPostgres({ directory })).rejects.toThrow('No PostgreSQL 9 was found')
  })
})
