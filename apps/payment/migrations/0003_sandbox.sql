-- What the sandbox processor remembers. It stands in for another company's system: nothing of the payment service
-- reads or writes these tables, and they share no transaction with it.

create type sandbox_outcome as enum ('succeeded', 'failed', 'canceled');

create table sandbox_charges (
  -- The idempotency key that the merchant gave: one charge for each, for ever.
  key text primary key,
  instrument text not null,
  currency currency not null,
  amount_minor amount_minor not null check (amount_minor > 0),
  outcome sandbox_outcome not null,
  reason text,
  -- Until then it answers that it is still pending.
  settles_at timestamptz not null,
  calls int not null default 1,
  created_at timestamptz not null default now()
);

create table sandbox_refunds (
  key text primary key,
  charge_key text not null references sandbox_charges,
  currency currency not null,
  amount_minor amount_minor not null check (amount_minor > 0),
  outcome sandbox_outcome not null check (outcome <> 'canceled'),
  reason text,
  settles_at timestamptz not null,
  calls int not null default 1,
  created_at timestamptz not null default now()
);

create index sandbox_refunds_of_charge on sandbox_refunds (charge_key);

-- Callbacks to deliver, until they have been.
create table sandbox_callbacks (
  id bigint generated always as identity primary key,
  message_id text not null,
  charge_key text not null references sandbox_charges,
  body text not null,
  due_at timestamptz not null,
  attempts int not null default 0,
  delivered_at timestamptz,
  given_up boolean not null default false
);

create index sandbox_callbacks_due on sandbox_callbacks (due_at)
  where delivered_at is null and not given_up;
