import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect as connectTcp, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer, type Server } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually, startRedis, type TestRedis } from '@wattle/testkit'
import { connectRedis } from '../src/index.ts'
import { recordingLog } from './support/log.ts'

const hasOpenssl = spawnSync('openssl', ['version']).status === 0
if (!hasOpenssl) console.warn('no openssl here: the cases of TLS were left out')

describe.runIf(hasOpenssl)('R4, R6: TLS', () => {
  const directory = mkdtempSync(join(tmpdir(), 'wattle-tls-'))
  const file = (name: string) => join(directory, name)
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'ignore' })
  let redis: TestRedis
  let front: Server
  let port: number

  /** Ends the encryption in front of a plain Redis, with a certificate of an authority of our own. */
  beforeAll(async () => {
    for (const name of ['ca', 'other-ca']) {
      const self = ['-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', `/CN=${name}`]
      openssl('req', ...self, '-keyout', file(`${name}.key`), '-out', file(`${name}.pem`))
    }
    const request = ['-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=redis.internal']
    openssl('req', ...request, '-keyout', file('r.key'), '-out', file('r.csr'))
    writeFileSync(file('names'), 'subjectAltName=DNS:redis.internal')
    const by = ['-CA', file('ca.pem'), '-CAkey', file('ca.key'), '-CAcreateserial']
    const names = ['-extfile', file('names')]
    openssl(
      'x509',
      '-req',
      '-days',
      '2',
      ...by,
      ...names,
      '-in',
      file('r.csr'),
      '-out',
      file('r.pem'),
    )
    redis = await startRedis({ acl: true })
    front = createServer(
      { key: readFileSync(file('r.key')), cert: readFileSync(file('r.pem')) },
      (socket) => {
        const plain = connectTcp(redis.port, redis.host)
        socket.pipe(plain).pipe(socket)
        for (const end of [socket, plain]) end.on('error', () => end.destroy())
      },
    )
    await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve))
    port = (front.address() as AddressInfo).port
  })
  afterAll(async () => {
    front.close()
    await redis.stop()
    rmSync(directory, { recursive: true })
  })

  const url = (query: string) =>
    redis
      .urlFor('billing')
      .replace('redis://', 'rediss://')
      .replace(String(redis.port), `${port}?${query}`)

  test('a server with a certificate of the given authority and name is trusted', async () => {
    await using connection = connectRedis({
      url: url(`ca=${file('ca.pem')}&serverName=redis.internal`),
      name: 'tls',
    })
    expect(await connection.whenReady(3000)).toBe(true)
    expect(await connection.client.set('test:billing:k', '1')).toBe('OK')
    expect(await connection.topology()).toMatchObject({ master: { port } })
  })

  test.each([
    ['another authority', 'ca=other-ca.pem&serverName=redis.internal', /certificate/],
    ['another name', 'ca=ca.pem', /does not match certificate|altnames/],
    ['no authority of ours', 'serverName=redis.internal', /certificate/],
  ])('%s is refused, and told so', async (_case, query, reason) => {
    const log = recordingLog()
    await using connection = connectRedis({
      url: url(query.replace('ca=', `ca=${directory}/`)),
      name: 'tls',
      log,
    })
    await eventually(() => expect(connection.state).toBe('down'))
    expect(log.lines.join()).toMatch(reason)
  })

  test('a server that speaks no TLS is not used', async () => {
    await using connection = connectRedis({
      url: url(`ca=${file('ca.pem')}`).replace(String(port), String(redis.port)),
      name: 'tls',
    })
    await eventually(() => expect(connection.state).toBe('down'))
  })
})
