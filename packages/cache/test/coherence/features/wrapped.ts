import type * as CacheModule from '../../../src/index.ts'
import type { Value } from '../plan.ts'

type Load = (row: number) => Promise<Value>

/**
 * A kind as `cacheable` and `evicts` make it, or their decorators on a class, with the members of one that `define`
 * makes. Reads that have to tell where the value came from ask the kind itself.
 */
export function wrapKind({
  modules: { cacheable, evicts, Cacheable, CacheEvict },
  cache,
  kind,
  load,
  decorated,
  called,
}: {
  modules: Pick<typeof CacheModule, 'cacheable' | 'evicts' | 'Cacheable' | 'CacheEvict'>
  cache: CacheModule.Cache
  kind: CacheModule.Kind<Value>
  load: Load
  decorated: boolean
  called: () => void
}) {
  const keyOf = (row: number) => `row${row}`
  const find = cacheable(load, { kind, key: keyOf })
  const refs = ([row]: [number, ...unknown[]]) => [find.ref(row)]
  type Save = (row: number, commit: () => Promise<Value>) => Promise<Value>
  let get: Load = find
  let save: Save = evicts((_row: number, commit: () => Promise<Value>) => commit(), { cache, refs })
  if (decorated) {
    // What a compiler makes of `@Cacheable(…) find(row) { … }`.
    const context = (name: string) => ({ kind: 'method', name }) as ClassMethodDecoratorContext
    get = Cacheable<undefined, [number], Value>({ kind, key: keyOf })(
      load,
      context('find') as never,
    ).bind(undefined)
    save = CacheEvict<undefined, Parameters<Save>, Value>({ cache, refs })(
      (_row, commit) => commit(),
      context('save') as never,
    ).bind(undefined)
  }
  const through: Load = (row) => {
    called()
    return get(row)
  }
  return {
    name: kind.name,
    get: through,
    read: (row: number) => kind.read(keyOf(row), () => load(row)),
    readAfter: (after: string, row: number) => kind.read(keyOf(row), () => load(row), { after }),
    getMany: (all: readonly [number][]) => Promise.all(all.map(([row]) => through(row))),
    ref: find.ref,
    save: ((row, commit) => {
      called()
      return save(row, commit)
    }) as Save,
  }
}
export type WrappedKind = ReturnType<typeof wrapKind>
