/** As a user of the package writes it. Node cannot run it as it is: a test compiles it with tsc first. */
import { Cacheable, CacheEvict, tag, type Cache, type Kind } from '@wattle/cache'

export type Bill = { readonly id: string; readonly amountMinor: number }

export function billsOn(cache: Cache, kind: Kind<Bill>) {
  class Bills {
    loads = 0
    amountMinor = 100

    @Cacheable({ kind, tags: (id: string) => [`bill:${id}`] })
    async bill(id: string): Promise<Bill> {
      this.loads++
      return { id, amountMinor: this.amountMinor }
    }

    @CacheEvict({ cache, refs: ([id]: [id: string, amountMinor: number]) => [tag(`bill:${id}`)] })
    async change(id: string, amountMinor: number): Promise<string> {
      this.amountMinor = amountMinor
      return id
    }
  }
  return new Bills()
}

/** A class that is given its cache: the kind is that of the instance. */
export class Store {
  readonly bills: Kind<Bill>
  readonly cache: Cache
  loads = 0

  constructor({ bills, cache }: { bills: Kind<Bill>; cache: Cache }) {
    this.bills = bills
    this.cache = cache
  }

  @Cacheable({ kind: (self: Store) => self.bills, key: (id: string) => id })
  async bill(id: string): Promise<Bill> {
    this.loads++
    return { id, amountMinor: this.loads }
  }

  @CacheEvict({
    cache: (self: Store) => self.cache,
    refs(this: Store, [id]: [id: string]) {
      return [this.bills.ref(id)]
    },
  })
  async touch(_id: string): Promise<void> {}
}
