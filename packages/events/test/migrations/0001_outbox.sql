-- Outbox of @wattle/events: an event stands here from the commit of the change it tells of until a replica of
-- Redis has it, and for a while longer. A service's migration is a copy of packages/events/migrations/outbox.sql.

create table outbox (
  -- Given out while the subject's row below is locked: for one subject ids grow with versions.
  id bigint generated always as identity primary key,
  event_id text not null,
  type text not null,
  subject text not null,
  version integer not null check (version >= 1),
  payload jsonb not null,
  correlation_id text not null,
  causation_id text not null,
  occurred_at timestamptz not null default clock_timestamp(),
  -- Time and id of the stream entry; both null while the event waits.
  sent_at timestamptz,
  stream_id text,
  unique (subject, version),
  check ((sent_at is null) = (stream_id is null))
);

create index outbox_waiting on outbox (id) where sent_at is null;
create index outbox_sent on outbox (sent_at) where sent_at is not null;

-- The last version of each subject. Its row lock makes writers of one subject commit one after another.
create table outbox_subjects (
  subject text primary key,
  version integer not null
) with (fillfactor = 80);

-- Which history of Redis the relay appends to (the master's replication id), and how far that history reached.
create table outbox_relay (
  only_row boolean primary key default true check (only_row),
  epoch text not null,
  last_stream_id text not null,
  since timestamptz not null default now()
);
