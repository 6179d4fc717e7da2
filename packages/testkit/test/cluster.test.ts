import { describe, expect, it } from 'vitest'
import { startCluster } from '@wattle/testkit'

describe('a cluster', () => {
  it('of three masters serves all slots, spread over the three', async () => {
    const started = performance.now()
    await using cluster = await startCluster()
    console.log(`a cluster was ready after ${Math.round(performance.now() - started)} ms`)
    const client = cluster.client()
    const keys = Array.from({ length: 60 }, (_, index) => `test:billing:${index}`)
    await Promise.all(keys.map((key) => client.set(key, key)))
    expect(await Promise.all(keys.map((key) => client.get(key)))).toEqual(keys)
    const counts = await Promise.all(client.nodes('master').map((node) => node.dbsize()))
    expect(counts).toHaveLength(3)
    expect(Math.min(...counts)).toBeGreaterThan(0)
  })
})
