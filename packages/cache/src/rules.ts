import type { Ref } from './refs.ts'

/** What an event invalidates. */
export type Rule<E> = (event: E) => readonly Ref[]

/** Type of event → what it invalidates: one table for each service, to be read by people and listed by operators. */
export type RuleTable<Events> = { readonly [Type in keyof Events]?: Rule<Events[Type]> }

export type Rules<Events> = {
  /** What the table names for the event, for a write that stores it in its own transaction. */
  refs<Type extends keyof Events>(type: Type, event: Events[Type]): readonly Ref[]
  /** Invalidates what the table names for the event; resolves when that is done or deferred. */
  on<Type extends keyof Events>(type: Type, event: Events[Type]): Promise<void>
  /** One function for each type of the table, for who calls by type. */
  readonly handlers: { readonly [Type in keyof Events]: (event: Events[Type]) => Promise<void> }
}
