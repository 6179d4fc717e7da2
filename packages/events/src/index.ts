export { appendEvents, causedBy, type NewEvent } from './outbox.ts'
export { startRelay, type Relay, type RelayOptions } from './relay.ts'
export { checkEventMigrations, type EventTables } from './migration-copies.ts'
export { eventStreamKey } from './stream-key.ts'
