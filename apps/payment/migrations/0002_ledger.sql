-- The ledger: double entry, append only. What makes it trustworthy is enforced here and cannot be got round by the
-- service's role, whatever its code does:
--
--   * the role may insert and read, never update, delete or truncate, and may not choose ids or times;
--   * entries enter only in the database transaction that made their ledger transaction, so a committed one is closed;
--   * at commit every ledger transaction has at least two entries, and they add up to zero in each currency and layer;
--   * a pending transaction is posted or voided once, by a transaction that mirrors it account by account;
--   * a correction is a reversal: the exact negation of a posted transaction, once.
--
-- Amounts are signed: a debit is positive, a credit negative. The `pending` layer holds what is promised and not yet
-- settled; it returns to zero as everything is posted or voided. The `posted` layer is the money.

create type ledger_purpose as enum ('charge', 'refund');
create type ledger_phase as enum ('pending', 'posted', 'voided', 'reversal');
create type ledger_layer as enum ('pending', 'posted');

create table ledger_transactions (
  id bigint generated always as identity primary key,
  purpose ledger_purpose not null,
  phase ledger_phase not null,
  payment_id text not null references payments,
  refund_id text references refunds,
  -- The pending transaction that this one posts or voids.
  resolves bigint unique references ledger_transactions,
  -- The posted transaction that this one takes back, and why.
  reverses bigint unique references ledger_transactions,
  reason text,
  created_at timestamptz not null default now(),
  created_xid xid8 not null default pg_current_xact_id(),

  constraint ledger_refund check ((purpose = 'refund') = (refund_id is not null)),
  constraint ledger_resolves check ((phase in ('posted', 'voided')) = (resolves is not null)),
  constraint ledger_reverses check ((phase = 'reversal') = (reverses is not null)),
  constraint ledger_reason check ((phase = 'reversal') = (reason is not null))
);

create index ledger_transactions_of_payment on ledger_transactions (payment_id);
-- A payment is charged once, a refund given once.
create unique index ledger_one_charge on ledger_transactions (payment_id)
  where purpose = 'charge' and phase = 'pending';
create unique index ledger_one_refund on ledger_transactions (refund_id)
  where purpose = 'refund' and phase = 'pending';

create table ledger_entries (
  transaction_id bigint not null references ledger_transactions,
  line smallint not null check (line between 1 and 100),
  account text not null check (
    account ~ '^(processor:[a-z0-9_]{1,40}|provider:prv_[0-9a-f-]{36}|coupons|fees)$'
  ),
  currency currency not null,
  layer ledger_layer not null,
  amount_minor bigint not null check (
    amount_minor <> 0 and amount_minor between -9007199254740991 and 9007199254740991
  ),
  primary key (transaction_id, line)
);

create index ledger_entries_of_account on ledger_entries (account, currency);

create function ledger_same_transaction() returns trigger
language plpgsql set search_path = pg_catalog, public, pg_temp as $$
begin
  perform from ledger_transactions
    where id = new.transaction_id and created_xid = pg_current_xact_id();
  if not found then
    raise exception 'ledger transaction % is closed', new.transaction_id
      using errcode = 'check_violation', constraint = 'ledger_closed';
  end if;
  return new;
end $$;

create trigger ledger_same_transaction before insert on ledger_entries
  for each row execute function ledger_same_transaction();

-- Raises unless the ledger transaction is whole.
create function ledger_assert_whole(checked_id bigint) returns void
language plpgsql set search_path = pg_catalog, public, pg_temp as $$
declare
  checked ledger_transactions;
  origin ledger_transactions;
  lines bigint;
begin
  select * into strict checked from ledger_transactions where id = checked_id;
  select count(*) into lines from ledger_entries where transaction_id = checked_id;
  if lines < 2 then
    raise exception 'ledger transaction % has % entries; at least two are needed', checked_id, lines
      using errcode = 'check_violation', constraint = 'ledger_two_entries';
  end if;

  perform from ledger_entries where transaction_id = checked_id
    group by currency, layer having sum(amount_minor) <> 0;
  if found then
    raise exception 'the entries of ledger transaction % do not add up to zero', checked_id
      using errcode = 'check_violation', constraint = 'ledger_balanced';
  end if;

  if checked.phase in ('posted', 'voided', 'reversal') then
    select * into strict origin from ledger_transactions
      where id = coalesce(checked.resolves, checked.reverses);
    if origin.phase <> (case checked.phase when 'reversal' then 'posted' else 'pending' end)::ledger_phase
      or (origin.purpose, origin.payment_id, origin.refund_id)
        is distinct from (checked.purpose, checked.payment_id, checked.refund_id)
    then
      raise exception 'ledger transaction % does not belong to what it resolves or reverses', checked_id
        using errcode = 'check_violation', constraint = 'ledger_same_subject';
    end if;
  end if;

  -- Account by account: the pending layer takes back what was pending; the posted layer repeats it when it is posted,
  -- and takes back what was posted when it is reversed; nothing else is there.
  perform from (
    select account, currency, layer, amount_minor from ledger_entries
      where transaction_id = checked_id and checked.phase <> 'pending'
    union all
    select account, currency, 'pending', amount_minor from ledger_entries
      where transaction_id = checked.resolves
    union all
    select account, currency, 'posted', -amount_minor from ledger_entries
      where transaction_id = checked.resolves and checked.phase = 'posted'
    union all
    select account, currency, 'posted', amount_minor from ledger_entries
      where transaction_id = checked.reverses and layer = 'posted'
    union all
    select account, currency, layer, amount_minor from ledger_entries
      where transaction_id = checked_id and checked.phase = 'pending' and layer <> 'pending'
  ) as mirrored
    group by account, currency, layer having sum(amount_minor) <> 0;
  if found then
    raise exception 'ledger transaction % is not what its phase demands, account by account', checked_id
      using errcode = 'check_violation', constraint = 'ledger_mirrors';
  end if;
end $$;

create function ledger_check_transaction() returns trigger
language plpgsql set search_path = pg_catalog, public, pg_temp as $$
begin
  perform ledger_assert_whole(new.id);
  return null;
end $$;

create function ledger_check_entry() returns trigger
language plpgsql set search_path = pg_catalog, public, pg_temp as $$
begin
  perform ledger_assert_whole(new.transaction_id);
  return null;
end $$;

-- On both tables: after "set constraints all immediate" the check of the transaction lies behind, and only that of an
-- entry added later can refuse it.
create constraint trigger ledger_check_transaction after insert on ledger_transactions
  deferrable initially deferred for each row execute function ledger_check_transaction();
create constraint trigger ledger_check_entry after insert on ledger_entries
  deferrable initially deferred for each row execute function ledger_check_entry();

-- The role's missing privileges keep the service out; this keeps out everybody else's slips, the owner's too.
create function ledger_append_only() returns trigger
language plpgsql set search_path = pg_catalog, public, pg_temp as $$
begin
  raise exception 'the ledger is append only; correct it by a reversal'
    using errcode = 'insufficient_privilege';
end $$;

create trigger ledger_append_only before update or delete or truncate on ledger_transactions
  for each statement execute function ledger_append_only();
create trigger ledger_append_only before update or delete or truncate on ledger_entries
  for each statement execute function ledger_append_only();

-- Takes back a posted transaction. For operators, in psql: select ledger_reverse(4711, 'why');
create function ledger_reverse(reversed_id bigint, why text) returns bigint
language plpgsql set search_path = pg_catalog, public, pg_temp as $$
declare
  reversal_id bigint;
begin
  insert into ledger_transactions (purpose, phase, payment_id, refund_id, reverses, reason)
    select purpose, 'reversal', payment_id, refund_id, id, why
      from ledger_transactions where id = reversed_id and phase = 'posted'
    returning id into reversal_id;
  if reversal_id is null then
    raise exception 'there is no posted ledger transaction %', reversed_id
      using errcode = 'no_data_found';
  end if;
  insert into ledger_entries (transaction_id, line, account, currency, layer, amount_minor)
    select reversal_id, row_number() over (order by line), account, currency, 'posted', -amount_minor
      from ledger_entries where transaction_id = reversed_id and layer = 'posted';
  return reversal_id;
end $$;

create view ledger_balances as
  select account, currency, layer, sum(amount_minor) as balance_minor, count(*) as entries
    from ledger_entries group by account, currency, layer;

do $$
declare
  service text := regexp_replace(current_user, '_owner$', '');
begin
  execute format('revoke all on ledger_transactions, ledger_entries, ledger_balances from %I', service);
  execute format('grant select on ledger_transactions, ledger_entries, ledger_balances to %I', service);
  -- By column: ids, times and the database transaction are not the service's to say.
  execute format(
    'grant insert (purpose, phase, payment_id, refund_id, resolves, reverses, reason) on ledger_transactions to %I',
    service
  );
  execute format('grant insert on ledger_entries to %I', service);
end $$;
