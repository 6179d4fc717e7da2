-- Payments, refunds, idempotency keys. The rules that must hold whatever the service's code does stand here as
-- constraints and triggers; src/payment/lifecycle.ts says how they work together.

create type currency as enum ('NGN', 'USD');

-- Integer minor units, never past what a double holds exactly.
create domain amount_minor as bigint
  constraint amount_minor_range check (value between 0 and 9007199254740991);

create type payment_state as enum (
  'requires_confirmation', 'processing', 'unknown', 'succeeded', 'failed', 'canceled'
);
-- What billing said to the hold of the amount. A payment is shown to its payer once it is `reserved`.
create type reservation as enum ('pending', 'reserved', 'refused', 'abandoned');

create table payments (
  id text primary key,
  user_id text not null,
  bill_id text not null,
  state payment_state not null default 'requires_confirmation',
  reservation reservation not null default 'pending',
  provider_id text,
  currency currency not null,
  amount_minor amount_minor not null,
  discount_minor amount_minor not null default 0,
  charge_minor bigint not null generated always as (amount_minor - discount_minor) stored,
  refunded_minor amount_minor not null default 0,
  -- Held for refunds under way, so that two at once cannot give back more than was paid.
  refunding_minor amount_minor not null default 0,
  instrument text not null,
  coupon_code text,
  failure_reason text,
  -- Id of the request that began it; events carry it on.
  correlation_id text not null,
  -- When the janitor must look at it, if nobody has moved it on before.
  next_attempt_at timestamptz,
  attempts int not null default 0,
  created_at timestamptz(3) not null default now(),
  updated_at timestamptz(3) not null default now(),
  confirmed_at timestamptz(3),

  constraint payment_amount check (amount_minor > 0),
  constraint payment_discount check (discount_minor <= amount_minor),
  constraint payment_refunds check (
    refunded_minor + refunding_minor <= charge_minor
    and (state = 'succeeded' or refunded_minor + refunding_minor = 0)
  ),
  constraint payment_reserved check (reservation <> 'reserved' or provider_id is not null),
  constraint payment_confirmed check (
    state in ('requires_confirmation', 'canceled')
    or (reservation = 'reserved' and confirmed_at is not null)
  ),
  constraint payment_undone check (reservation in ('pending', 'reserved') or state = 'canceled'),
  constraint payment_reason check ((failure_reason is not null) = (state in ('failed', 'canceled'))),
  -- Nothing can be forgotten: whatever is not at rest has a time at which somebody looks at it.
  constraint payment_attended check (
    (next_attempt_at is null) = (state in ('succeeded', 'failed', 'canceled'))
  )
);

create index payments_of_user on payments (user_id, created_at desc, id desc)
  where reservation = 'reserved';
create index payments_of_bill on payments (bill_id);
create index payments_due on payments (next_attempt_at) where next_attempt_at is not null;

create function guard_payment() returns trigger
language plpgsql set search_path = pg_catalog, public, pg_temp as $$
begin
  if new.state <> old.state and (old.state, new.state) not in (
    ('requires_confirmation', 'processing'), ('requires_confirmation', 'canceled'),
    ('processing', 'unknown'), ('processing', 'succeeded'), ('processing', 'failed'),
    ('unknown', 'succeeded'), ('unknown', 'failed')
  ) then
    raise exception 'a payment does not go from % to %', old.state, new.state
      using errcode = 'check_violation', constraint = 'payment_transition';
  end if;
  if (new.id, new.user_id, new.bill_id, new.currency, new.amount_minor, new.instrument, new.created_at)
      is distinct from
      (old.id, old.user_id, old.bill_id, old.currency, old.amount_minor, old.instrument, old.created_at)
    or (old.reservation <> 'pending'
      and (new.reservation, new.provider_id, new.discount_minor)
        is distinct from (old.reservation, old.provider_id, old.discount_minor))
    or (old.confirmed_at is not null and new.confirmed_at is distinct from old.confirmed_at)
    or new.refunded_minor < old.refunded_minor
  then
    raise exception 'what a payment is about does not change'
      using errcode = 'check_violation', constraint = 'payment_immutable';
  end if;
  if (new.state, new.reservation, new.refunded_minor)
    is distinct from (old.state, old.reservation, old.refunded_minor)
  then
    new.updated_at := clock_timestamp();
  end if;
  return new;
end $$;

create trigger guard_payment before update on payments
  for each row execute function guard_payment();

create type refund_state as enum ('processing', 'unknown', 'succeeded', 'failed');

create table refunds (
  id text primary key,
  payment_id text not null references payments,
  state refund_state not null default 'processing',
  currency currency not null,
  amount_minor amount_minor not null,
  failure_reason text,
  correlation_id text not null,
  next_attempt_at timestamptz,
  attempts int not null default 0,
  created_at timestamptz(3) not null default now(),
  updated_at timestamptz(3) not null default now(),

  constraint refund_amount check (amount_minor > 0),
  constraint refund_reason check ((failure_reason is not null) = (state = 'failed')),
  constraint refund_attended check (
    (next_attempt_at is null) = (state in ('succeeded', 'failed'))
  )
);

create index refunds_of_payment on refunds (payment_id);
create index refunds_due on refunds (next_attempt_at) where next_attempt_at is not null;

create function guard_refund() returns trigger
language plpgsql set search_path = pg_catalog, public, pg_temp as $$
begin
  if new.state <> old.state and (old.state, new.state) not in (
    ('processing', 'unknown'), ('processing', 'succeeded'), ('processing', 'failed'),
    ('unknown', 'succeeded'), ('unknown', 'failed')
  ) then
    raise exception 'a refund does not go from % to %', old.state, new.state
      using errcode = 'check_violation', constraint = 'refund_transition';
  end if;
  if (new.id, new.payment_id, new.currency, new.amount_minor, new.created_at)
    is distinct from (old.id, old.payment_id, old.currency, old.amount_minor, old.created_at)
  then
    raise exception 'what a refund is about does not change'
      using errcode = 'check_violation', constraint = 'refund_immutable';
  end if;
  if new.state <> old.state then
    new.updated_at := clock_timestamp();
  end if;
  return new;
end $$;

create trigger guard_refund before update on refunds
  for each row execute function guard_refund();

-- One row for each request that carried an Idempotency-Key and got as far as a decision.
create table idempotency_keys (
  user_id text not null,
  key text not null,
  route text not null,
  request_hash text not null,
  -- The payment or refund that the request makes or moves.
  resource_id text not null,
  -- Until when a request works on it; others wait so long. Efficiency only: two at once do no harm.
  lease_until timestamptz not null,
  -- What every request with this key is told; null while it is being worked on. `json` keeps it as it was written.
  answer json,
  created_at timestamptz not null default now(),
  primary key (user_id, key)
);

create index idempotency_keys_by_age on idempotency_keys (created_at);

-- Callbacks of processors that were taken, by the id the processor gave them: a repeated one has no effect.
create table processor_callbacks (
  id text primary key,
  processor text not null,
  type text not null,
  charge_key text not null,
  received_at timestamptz not null default now()
);

create index processor_callbacks_by_age on processor_callbacks (received_at);

-- A processor said one thing and later another, or took another amount than it was asked for. Never settled by
-- itself: a person must look.
create table contradictions (
  id bigint generated always as identity primary key,
  subject_id text not null,
  recorded text not null,
  reported text not null,
  source text not null,
  noticed_at timestamptz not null default now(),
  unique (subject_id, recorded, reported)
);

-- The service never deletes a payment, and never rewrites what it noted of a processor.
do $$
declare
  service text := regexp_replace(current_user, '_owner$', '');
begin
  execute format('revoke delete on payments, refunds, contradictions from %I', service);
  execute format('revoke update on processor_callbacks, contradictions from %I', service);
end $$;
