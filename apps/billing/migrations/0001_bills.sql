-- Utility companies, the accounts that people have with them, and the bills of those accounts.

create type utility as enum ('electricity', 'water', 'gas', 'internet');
create type currency as enum ('NGN', 'USD');

-- Integer minor units, never past what a double holds exactly.
create domain amount_minor as bigint
  constraint amount_minor_range check (value between 0 and 9007199254740991);

create table providers (
  id text primary key,
  name text not null unique,
  utility utility not null,
  region text not null,
  currency currency not null
);

-- An account at a provider belongs to one person here.
create table utility_accounts (
  id text primary key,
  user_id text not null,
  provider_id text not null references providers (id),
  customer_number text not null
    constraint customer_number_form check (customer_number ~ '^[0-9]{8,13}$'),
  created_at timestamptz not null default now(),
  constraint account_linked_once unique (provider_id, customer_number),
  -- lets a bill refer to the account together with the person
  constraint account_of_person unique (user_id, provider_id, customer_number)
);

create type bill_lifecycle as enum ('draft', 'issued', 'void');

-- Whether an issued bill is open, partially paid, paid or overdue follows from its amounts, its due date and the
-- day it is looked at, so it is not stored.
create table bills (
  id text primary key,
  user_id text not null,
  provider_id text not null,
  customer_number text not null,
  lifecycle bill_lifecycle not null,
  currency currency not null,
  total_minor amount_minor not null,
  paid_minor amount_minor not null default 0,
  period_start date not null,
  period_end date not null,
  due_date date not null,
  issued_at timestamptz,
  created_at timestamptz not null default now(),
  constraint bill_of_period unique (provider_id, customer_number, period_start),
  -- a person sees only bills of an account that they linked
  foreign key (user_id, provider_id, customer_number)
    references utility_accounts (user_id, provider_id, customer_number),
  constraint paid_at_most_total check (paid_minor <= total_minor),
  constraint paid_only_when_issued check (paid_minor = 0 or lifecycle = 'issued'),
  constraint issued_at_known check (lifecycle = 'draft' or issued_at is not null),
  constraint period_in_order check (period_start <= period_end)
);

-- The list of a person's bills, page by page. A person has some hundreds at most, so the other filters (state, utility,
-- provider) are applied to what this index finds.
create index bills_of_user on bills (user_id, due_date desc, id desc);

create type bill_line_kind as enum ('usage', 'fixed', 'fee', 'tax');

create table bill_lines (
  bill_id text not null references bills (id) on delete cascade,
  position smallint not null check (position >= 1),
  kind bill_line_kind not null,
  description text not null,
  amount_minor amount_minor not null,
  primary key (bill_id, position)
);

-- The total of a bill is the sum of its lines: checked when the transaction commits, whichever side was written. The
-- argument of the trigger names the column with the bill's id.
create function check_bill_total() returns trigger language plpgsql as $$
declare
  checked text;
begin
  for checked in
    select distinct row ->> tg_argv[0] from unnest(array[to_jsonb(new), to_jsonb(old)]) as row
  loop
    if exists (
      select from bills
      where id = checked and total_minor <>
        (select coalesce(sum(amount_minor), 0) from bill_lines where bill_id = checked)
    ) then
      raise exception 'the total of bill % is not the sum of its lines', checked
        using errcode = 'check_violation', constraint = 'total_is_sum_of_lines';
    end if;
  end loop;
  return null;
end;
$$;

create constraint trigger total_is_sum_of_lines
  after insert or update of total_minor on bills
  deferrable initially deferred
  for each row execute function check_bill_total('id');

create constraint trigger total_is_sum_of_lines
  after insert or update or delete on bill_lines
  deferrable initially deferred
  for each row execute function check_bill_total('bill_id');
