-- Inbox of @wattle/events: what a service has handled of the events of others, and what it could not handle.
-- A service's migration is a copy of packages/events/migrations/inbox.sql.

-- One row per subject, not per event: versions have no gaps, so the last one says of every event whether its effect
-- is there. It is written in the transaction of the effect.
create table inbox (
  -- The publishing service.
  stream text not null,
  subject text not null,
  version integer not null,
  -- The lowest version among the subject's dead letters: from there on its events wait behind it.
  parked_from integer,
  event_id text,
  handled_at timestamptz,
  primary key (stream, subject)
) with (fillfactor = 80);

create table dead_letters (
  id bigint generated always as identity primary key,
  stream text not null,
  stream_id text not null,
  -- What can be read of the entry. An entry without a readable envelope has no subject.
  event_id text,
  type text,
  subject text,
  version integer,
  -- The fields of the entry, as they came: json, for jsonb refuses some of what can come.
  entry json not null,
  -- failed: the handler gave up. crashed: it ended its process. invalid: not an event as agreed. gap: an earlier
  -- version never came. behind: nothing wrong with it, it waits behind another of its subject.
  cause text not null check (cause in ('failed', 'crashed', 'invalid', 'gap', 'behind')),
  error text not null,
  attempts integer not null,
  died_at timestamptz not null default now(),
  unique (stream, subject, version)
);

create unique index dead_letters_without_subject on dead_letters (stream, stream_id, md5(entry::text))
  where subject is null;
