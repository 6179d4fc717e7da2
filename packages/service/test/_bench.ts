import Fastify from 'fastify'
import autocannon from 'autocannon'
import { fork } from 'node:child_process'
import { createLogger } from '@wattle/service'
import { addNoteRoutes, startApp, testConfig, noteId, note } from './support.ts'
const mode = process.argv[2]
if (mode === 'bare') {
  const app = Fastify()
  app.get('/notes/:noteId', { schema: { response: { 200: { type: 'object', properties: { id: {type:'string'}, title: {type:'string'}, amountMinor: {type:'integer'} } } } } }, async () => note)
  await app.listen({ port: 4701 })
} else if (mode === 'kit' || mode === 'kit-prod' || mode==='silent') {
  const config = testConfig({ WATTLE_ENV: 'production', WATTLE_LOG_LEVEL: mode === 'silent' ? 'silent' : 'info' })
  const { createService } = await import('@wattle/service')
  const app = await createService({ name: 'n', version: '1', config, authenticate: async () => ({ roles: [] }) , log: createLogger({ name: 'n', config }) })
  addNoteRoutes(app)
  await app.listen({ port: 4701 })
} else {
  for (const m of ['bare', 'silent', 'kit', 'bare', 'silent', 'kit']) {
    const child = fork(new URL(import.meta.url).pathname, [m], { silent: true })
    child.stdout!.resume()
    await new Promise((r) => setTimeout(r, 1200))
    await autocannon({ url: `http://127.0.0.1:4701/notes/${noteId}`, connections: 50, duration: 1 })
    const r = await autocannon({ url: `http://127.0.0.1:4701/notes/${noteId}`, connections: 50, duration: 4 })
    console.log(m, Math.round(r.requests.average), r.latency.p50, r.latency.p99, r.non2xx)
    child.kill()
  }
}
