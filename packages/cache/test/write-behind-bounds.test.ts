import { personal } from '@wattle/redis'
import { describe, expect } from 'vitest'
import { expectNothingWaits, holdWrites, row, test, type Row } from './write-behind-setup.ts'

describe('C5 write-behind: bounds', { timeout: 60_000 }, () => {
  test('a full stream, too many keys and too large a value are refused in one sentence', async ({
    writer,
    source,
  }) => {
    const one = await writer({ maxChanges: 3, maxKeys: 2, maxValueBytes: 100 })
    const held = holdWrites(source)
    const { put } = one.writes
    const refused = (reason: string) => ({ name: 'WriteRefusedError', reason })
    await put('a', row('a', 1))
    await put('b', row('b', 1))
    await expect(put('c', row('c', 1))).rejects.toMatchObject(refused('full'))
    await put('a', row('a', 2))
    const full = put('a', row('a', 3))
    await expect(full).rejects.toMatchObject(refused('full'))
    await expect(full).rejects.toThrow(
      'the change of a was refused, since maxChanges (3) wait for the source already: see why they are not written, or raise the bound',
    )
    const large = put('a', { id: 'x'.repeat(200), amount: 1 })
    await expect(large).rejects.toMatchObject(refused('too-large'))
    await expect(large).rejects.toThrow(/takes 2\d\d bytes, more than maxValueBytes \(100\)/)
    // What was refused is not visible either.
    expect(await one.get('a')).toEqual(row('a', 2))
    expect(await one.get('c')).toEqual(row('c', 0))
    held.open()
    await expectNothingWaits(one)
    await put('c', row('c', 1))
  })

  test.for([
    [{ batchSize: 0 }, 'batchSize of write-behind meters is 0: give a whole number from 1 on'],
    [{ retry: { baseMs: NaN } }, /^retry.baseMs of write-behind meters is NaN/],
    [{ retry: { maxAttempts: 0 } }, /^retry.maxAttempts of write-behind meters is 0/],
    [{ write: undefined }, /^write of write-behind meters cannot be used: give a function/],
    [{ redis: undefined }, /^redis of write-behind meters cannot be used/],
    [
      { whenStateIsAway: 'sorce' },
      /^whenStateIsAway of write-behind meters .* 'refuse' or 'source'/,
    ],
    [{ name: '' }, /^name of a write-behind is ""/],
  ] as const)(
    'an option out of range is refused in one sentence that names it: %o',
    async ([options, sentence], { writer }) => {
      await expect(writer(options as object)).rejects.toThrow(sentence)
    },
  )

  test('two kinds cannot share a name, whose changes would go to one source', async ({
    writer,
    source,
  }) => {
    const { cache, state } = await writer()
    const other = cache.kind<Row>('other', { ttl: '1m' })
    const options = { redis: state, name: 'meters', write: source.write }
    expect(() => cache.writeBehind(other, options)).toThrow(/^the name meters is another/)
  })

  test('what cannot be kept, and an id that is none, are refused in one sentence', async ({
    writer,
  }) => {
    const { writes } = await writer()
    const noRow = { id: () => 'a', amount: 1 } as unknown as Row
    await expect(writes.put('a', noRow)).rejects.toThrow(/^the value of a cannot be kept: /)
    await expect(writes.deadLetters.list(0)).rejects.toThrow(/^most of dead letters to list is 0/)
    await expect(writes.deadLetters.redrive('x')).rejects.toThrow('x is no id of a dead letter')
    await expect(writes.deadLetters.discard('x')).rejects.toThrow('x is no id of a dead letter')
  })

  test('a personal part of a key is refused, since the stream would hold it in clear', async ({
    writer,
  }) => {
    const one = await writer()
    const put = one.writes.put(['user', { mail: personal('a@b.example') }], row('a', 1))
    await expect(put).rejects.toThrow(/^the key \S+ has a part made by personal\(\)/)
  })
})
