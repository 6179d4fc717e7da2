/**
 * The rows of a query, batch by batch, each beginning after the last row of the one before (keyset): neither the
 * database nor this process ever holds them all. `read` gets that row, and returns fewer rows than `size` at the end.
 *
 * The first batch is read before this resolves: a search that cannot begin fails as a whole, and is tried again.
 */
export async function inBatches<Row>(
  size: number,
  read: (after: Row | undefined, limit: number) => Promise<readonly Row[]>,
): Promise<AsyncIterable<Row>> {
  const first = await read(undefined, size)
  return rest()

  async function* rest() {
    let rows = first
    while (true) {
      yield* rows
      if (rows.length < size) return
      rows = await read(rows.at(-1), size)
    }
  }
}
