import { EventEnvelope, eventTypes, type EventType } from '@wattle/contracts'
import { Type, type Static } from 'typebox'
import { Compile } from 'typebox/compile'

/** An event whose envelope is sound; what its payload should be depends on its type. */
export type AnyEvent = Static<typeof EventEnvelope> & { payload: unknown }

/** A stream entry, read. `known` is what could be read of one that is no event. */
export type Decoded = { event: AnyEvent } | { invalid: string; known?: Omit<AnyEvent, 'payload'> }

type Envelope = Omit<AnyEvent, 'id' | 'payload'> & { id: string }

/** Raised when an entry's fields change their meaning. A consumer refuses what it does not know. */
const format = '1'

const envelope = Compile(EventEnvelope)
const newEvent = Compile(Type.Omit(EventEnvelope, ['version', 'occurredAt']))
const payloads = new Map(
  Object.entries(eventTypes).map(([type, schema]) => [type, Compile(schema)] as const),
)

/** The fields of a stream entry, name and value in turn. The payload is JSON already. */
export function encodeEntry(event: Envelope & { payloadJson: string }): (string | number)[] {
  // The same names in the same order each time: Redis then stores the names once.
  const { payloadJson, ...envelope } = event
  const fields = { format, ...pick(envelope), payload: payloadJson }
  return Object.entries(fields).flat()
}

function pick({ id, type, subject, version, occurredAt, correlationId, causationId }: Envelope) {
  return { id, type, subject, version, occurredAt, correlationId, causationId }
}

/** Reads an entry's fields. Fields it does not know are left alone, so that a publisher may add some first. */
export function decodeEntry(fields: Readonly<Record<string, string>>): Decoded {
  if (fields['format'] !== format) return { invalid: `format ${fields['format']} is not known` }
  const { payload: json = '', format: _, ...rest } = fields
  const known = { ...rest, version: Number(rest['version']) }
  // What PostgreSQL could not store, none of ours has sent.
  if (Object.values(rest).some((text) => text.includes('\0'))) return { invalid: 'a zero byte' }
  if (known.version > 0x7fff_ffff) return { invalid: `version ${known.version} is out of range` }
  if (!envelope.Check(known)) return { invalid: `envelope: ${firstFault(envelope, known)}` }
  try {
    return { event: { ...known, payload: JSON.parse(json) as unknown } }
  } catch {
    return { invalid: 'the payload is not JSON', known }
  }
}

/** What is wrong with this payload; undefined when it is as the contract says, or the type has no contract here. */
export function payloadFault(type: string, payload: unknown): string | undefined {
  const validator = payloads.get(type)
  if (!validator || validator.Check(payload)) return undefined
  return `payload of ${type}: ${firstFault(validator, payload)}`
}

/** What keeps an event from being stored; undefined when nothing does. */
export function newEventFault(event: {
  id: string
  type: string
  subject: string
  correlationId: string
  causationId: string
  payload: unknown
}): string | undefined {
  if (!isEventType(event.type)) return `${event.type} is not among the contract's event types`
  if (!newEvent.Check(event)) return firstFault(newEvent, event)
  return payloadFault(event.type, event.payload)
}

/** Field and fault, without the value: values may be personal, and this goes to logs. */
function firstFault(
  validator: { Errors(value: unknown): { instancePath: string; message: string }[] },
  value: unknown,
): string {
  const [fault] = validator.Errors(value)
  return fault ? `${fault.instancePath || 'the whole'} ${fault.message}` : 'it does not fit'
}

const isEventType = (type: string): type is EventType => Object.hasOwn(eventTypes, type)
