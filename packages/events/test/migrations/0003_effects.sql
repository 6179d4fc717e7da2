-- What the handlers of the tests do. No constraint keeps an effect from being there twice or out of order.
create table effects (
  position bigint generated always as identity,
  stream text not null default 'payment',
  event_id text not null,
  subject text not null,
  version integer not null,
  done_at timestamptz not null default clock_timestamp()
);
