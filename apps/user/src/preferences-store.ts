import type { Id, Preferences } from '@wattle/contracts'
import type { Queries } from '@wattle/database'
import { sql, type Selectable } from 'kysely'
import type { DB, Preferences as PreferencesTable } from './schema.ts'

const columns = [
  'language',
  'email_notifications',
  'sms_notifications',
  'due_reminder_days',
  'version',
  'updated_at',
] as const

/** What a person may change; absent fields stay as they are. */
export type PreferencesChange = Partial<Omit<Preferences, 'version' | 'updatedAt'>>

export async function readPreferences(
  { kysely }: Pick<Queries<DB>, 'kysely'>,
  userId: Id<'usr'>,
): Promise<Preferences | undefined> {
  const row = await kysely
    .selectFrom('preferences')
    .select(columns)
    .where('user_id', '=', userId)
    .executeTakeFirst()
  return row && toPreferences(row)
}

/** Of many people, in the order of their ids; undefined where nobody has one. */
export async function readPreferencesOfMany(
  { kysely }: Pick<Queries<DB>, 'kysely'>,
  userIds: readonly Id<'usr'>[],
): Promise<(Preferences | undefined)[]> {
  const rows = await kysely
    .selectFrom('preferences')
    .select('user_id')
    .select(columns)
    .where('user_id', 'in', [...userIds, ''])
    .execute()
  const byId = new Map(rows.map((row) => [row.user_id, toPreferences(row)]))
  return userIds.map((userId) => byId.get(userId))
}

/** The changed preferences; undefined when there are none of this person, or not in `expectedVersion`. */
export async function changePreferences(
  { kysely }: Pick<Queries<DB>, 'kysely'>,
  userId: Id<'usr'>,
  change: PreferencesChange,
  expectedVersion: number | undefined,
): Promise<Preferences | undefined> {
  const { language, emailNotifications, smsNotifications, dueReminderDays } = change
  // Kysely leaves out what is undefined.
  let update = kysely
    .updateTable('preferences')
    .set({
      language,
      email_notifications: emailNotifications,
      sms_notifications: smsNotifications,
      due_reminder_days: dueReminderDays,
      version: sql`version + 1`,
      updated_at: sql`now()`,
    })
    .where('user_id', '=', userId)
  if (expectedVersion !== undefined) update = update.where('version', '=', expectedVersion)
  const row = await update.returning(columns).executeTakeFirst()
  return row && toPreferences(row)
}

function toPreferences(
  row: Pick<Selectable<PreferencesTable>, (typeof columns)[number]>,
): Preferences {
  return {
    language: row.language as Preferences['language'],
    emailNotifications: row.email_notifications,
    smsNotifications: row.sms_notifications,
    dueReminderDays: row.due_reminder_days,
    version: row.version,
    updatedAt: row.updated_at.toISOString(),
  }
}
