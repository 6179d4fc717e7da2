import type { Flight } from './flight.ts'

/**
 * The flights that are under way, by name.
 *
 * The Map has their places, and not themselves: when a Map grows or shrinks, V8 leaves its former table pointing to the new
 * one, and a table that has become old keeps all that follow, with what they hold, until the next full collection.
 */
export class Flights {
  readonly #places = new Map<string, number>()
  readonly #flights: (Flight | undefined)[] = []
  readonly #free: number[] = []

  get size(): number {
    return this.#places.size
  }

  get(name: string): Flight | undefined {
    const place = this.#places.get(name)
    return place === undefined ? undefined : this.#flights[place]
  }

  /** From now on those who ask for its name find this one. One that is there is poisoned. */
  add(flight: Flight): void {
    const { name } = flight
    this.poison(name)
    const place = this.#free.pop() ?? this.#flights.length
    this.#places.set(name, place)
    this.#flights[place] = flight
  }

  /** Whether it was there. */
  remove(flight: Flight): boolean {
    const { name } = flight
    const place = this.#places.get(name)
    if (place === undefined || this.#flights[place] !== flight) return false
    this.#places.delete(name)
    this.#flights[place] = undefined
    this.#free.push(place)
    return true
  }

  /** Whoever waits for it gets its value; nobody else does, and nothing of it is kept. */
  poison(name: string): void {
    const flight = this.get(name)
    if (!flight) return
    flight.poisoned = true
    this.remove(flight)
  }
}
