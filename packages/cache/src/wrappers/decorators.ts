import type { Cache } from '../cache.ts'
import type { Kind } from '../kind.ts'
import { cacheable, type CacheableOptions, type KeyOption } from './cacheable.ts'
import { evicts, type EvictsOptions } from './evicts.ts'

type Method<This, Args extends unknown[], R> = (this: This, ...args: Args) => Promise<R>
type MethodContext<This, Args extends unknown[], R> = ClassMethodDecoratorContext<
  This,
  Method<This, Args, R>
>

/**
 * `cacheable` as a standard (TC39) decorator for methods.
 *
 *     class Bills {
 *       @Cacheable({ kind: bills, tags: (id) => [`bill:${id}`] })
 *       async bill(id: string) { … }
 *     }
 *
 * All instances share the entries of equal keys: what differs between instances must be in the key. `kind` may be a
 * function of the instance, for classes that are given their cache.
 */
export function Cacheable<This, Args extends unknown[], V>(
  options: Omit<CacheableOptions<This, Args, V>, 'kind' | 'key'> & {
    kind: Kind<V> | ((self: This) => Kind<V>)
  } & KeyOption<This, Args>,
) {
  return function decorate(
    method: Method<This, Args, V>,
    context: MethodContext<This, Args, V>,
  ): Method<This, Args, V> {
    requireMethod('Cacheable', context)
    return perInstance(method, options.kind, (kind) => {
      return cacheable(method, { ...options, kind } as CacheableOptions<This, Args, V>)
    })
  }
}

/** `evicts` as a standard (TC39) decorator for methods. `cache` may be a function of the instance. */
export function CacheEvict<This, Args extends unknown[], R>({
  cache,
  refs,
}: Omit<EvictsOptions<This, Args, R>, 'cache'> & {
  cache: Pick<Cache, 'invalidate'> | ((self: This) => Pick<Cache, 'invalidate'>)
}) {
  return function decorate(
    method: Method<This, Args, R>,
    context: MethodContext<This, Args, R>,
  ): Method<This, Args, R> {
    requireMethod('CacheEvict', context)
    return perInstance(method, cache, (own) => evicts(method, { cache: own, refs }))
  }
}

/** One wrapper for each kind or cache, though there may be many instances. */
function perInstance<This, Args extends unknown[], R, Own extends object>(
  method: Method<This, Args, R>,
  own: Own | ((self: This) => Own),
  wrap: (own: Own) => Method<This, Args, R>,
): Method<This, Args, R> {
  if (typeof own !== 'function') return wrap(own)
  const made = new WeakMap<Own, Method<This, Args, R>>()
  return Object.defineProperty(
    async function wrapped(this: This, ...args: Args): Promise<R> {
      const mine = own(this)
      const known = made.get(mine) ?? wrap(mine)
      made.set(mine, known)
      return known.apply(this, args)
    },
    'name',
    { value: method.name, configurable: true },
  )
}

/** Decorators of the older, experimental kind are called with other arguments. */
function requireMethod(name: string, context: { kind: string } | string | undefined): void {
  if (typeof context === 'object' && context.kind === 'method') return
  const found = typeof context === 'object' ? `a ${context.kind}` : 'experimentalDecorators'
  throw new TypeError(
    `@${name} is a standard decorator for methods, not for ${found}: put it on a method, and switch experimentalDecorators off`,
  )
}
