export {
  openDatabase,
  type Database,
  type DatabaseLog,
  type DatabaseOptions,
  type Queries,
} from './database.ts'
export type { TransactionOptions } from './transaction.ts'
export { isCheckViolation, isForeignKeyViolation, isUniqueViolation } from './errors.ts'
export { migrate, type MigrateOptions, type MigrateResult } from './migrate.ts'
export { checkMigrationCopies } from './migration-copies.ts'
export { MigrationError } from './migration-files.ts'
export { queryOf } from './query-of.ts'
export { provisionDatabase, type ProvisionOptions } from './provision.ts'
export { checkSchemaTypes } from './schema-types.ts'
