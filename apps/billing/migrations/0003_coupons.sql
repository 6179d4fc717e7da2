-- Coupons: what takes something off a payment of a bill, and who may use it how often.

create table coupons (
  id bigint generated always as identity primary key,
  -- As its issuer writes it, and as it is looked for: see src/coupons/coupon-code.ts.
  code text not null,
  folded_code text not null unique,
  -- Either a part of the amount, in hundredths of a per cent, or a fixed amount.
  percent_bp integer,
  off_minor amount_minor,
  -- Null: any currency.
  currency currency,
  -- Of the payment, before the discount.
  minimum_minor amount_minor not null default 0,
  -- From the first moment, up to and without the last; null: open.
  valid_from timestamptz,
  valid_until timestamptz,
  -- Null: for the bills of every provider.
  provider_ids text[],
  first_payment_only boolean not null default false,
  active boolean not null default true,
  -- Null: without limit.
  use_limit integer,
  user_limit integer,
  -- Payments that hold or have used it; given back when a payment ends without success.
  uses integer not null default 0,
  created_at timestamptz not null default now(),
  constraint folded_code_form check (
    folded_code is nfkc normalized and folded_code !~ '[[:space:]-]' and folded_code <> ''
  ),
  constraint percent_or_amount check (num_nonnulls(percent_bp, off_minor) = 1),
  constraint percent_range check (percent_bp between 1 and 10000),
  constraint takes_something_off check (off_minor > 0),
  constraint amounts_have_a_currency check (
    currency is not null or (off_minor is null and minimum_minor = 0)
  ),
  constraint validity_in_order check (valid_from < valid_until),
  constraint providers_named check (cardinality(provider_ids) > 0),
  constraint limits_above_zero check (use_limit > 0 and user_limit > 0),
  constraint uses_within_limit check (uses >= 0 and uses <= use_limit)
);

-- How often each person holds or has used a coupon. The limit stands with the coupon.
create table coupon_users (
  coupon_id bigint not null references coupons (id),
  user_id text not null,
  uses integer not null constraint uses_of_user_above_zero check (uses >= 0),
  primary key (coupon_id, user_id)
);
