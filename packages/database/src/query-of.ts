import { CompiledQuery, type Kysely } from 'kysely'

/** Plain SQL (`$1` for the first value) on a pool or in a transaction, for packages that know nothing of Kysely. */
export const queryOf =
  <DB>(kysely: Pick<Kysely<DB>, 'executeQuery'>) =>
  async (sql: string, values: readonly unknown[]): Promise<readonly Record<string, unknown>[]> => {
    const { rows } = await kysely.executeQuery(CompiledQuery.raw(sql, [...values]))
    return rows as Record<string, unknown>[]
  }
