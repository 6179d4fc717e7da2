-- Amounts of bills held for payments: what is held or paid never exceeds the total, whatever runs at once.

alter table bills
  add column reserved_minor amount_minor not null default 0,
  add constraint reserved_and_paid_at_most_total check (paid_minor + reserved_minor <= total_minor),
  add constraint reserved_only_when_issued check (reserved_minor = 0 or lifecycle = 'issued');

create type reservation_state as enum ('reserved', 'committed', 'released');

-- One row per payment, for ever. The use of a coupon is part of it, so neither can end without the other.
create table reservations (
  payment_id text primary key,
  state reservation_state not null,
  -- These are null together in the mark of a payment that ended before it held anything: a hold that comes later is
  -- refused.
  bill_id text references bills (id),
  user_id text,
  currency currency,
  amount_minor amount_minor,
  discount_minor amount_minor,
  coupon_id bigint references coupons (id),
  -- As the payer typed it, so that a repeated request can be told from another one.
  coupon_code text,
  -- The coupon is for a first payment.
  first_payment boolean not null default false,
  refunded_minor amount_minor not null default 0,
  created_at timestamptz not null default now(),
  ended_at timestamptz,
  constraint held_or_mark check (
    num_nulls(bill_id, user_id, currency, amount_minor, discount_minor) = 0
    or state = 'released'
      and num_nonnulls(bill_id, user_id, currency, amount_minor, discount_minor, coupon_id) = 0
  ),
  constraint discount_leaves_a_charge check (discount_minor < amount_minor),
  constraint discount_by_coupon check ((discount_minor > 0) = (coupon_id is not null)),
  constraint ended_unless_reserved check ((state = 'reserved') = (ended_at is null)),
  constraint refunded_at_most_charged check (
    refunded_minor = 0 or state = 'committed' and refunded_minor <= amount_minor - discount_minor
  )
);

create index reservations_of_bill on reservations (bill_id);
create index reservations_of_user on reservations (user_id) where state <> 'released';

-- Two payments at once cannot both be a person's first.
create unique index one_first_payment on reservations (user_id)
  where first_payment and state <> 'released';
