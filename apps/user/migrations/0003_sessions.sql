alter table users add column email_verified_at timestamptz;

-- One row for each login. A session and its family of refresh tokens begin and end together, so one row lock orders
-- whatever happens to both.
create table sessions (
  id text primary key check (id like 'ses\_%'),
  user_id text not null references users (id) on delete cascade,
  family_id text not null check (family_id like 'fam\_%'),
  -- Of the one refresh token that is good.
  generation integer not null default 1 check (generation > 0),
  name text check (length(name) between 1 and 60),
  device text not null check (length(device) between 1 and 100),
  address inet not null,
  network text not null,
  country text check (country ~ '^[A-Z]{2}$'),
  created_at timestamptz not null,
  last_seen_at timestamptz not null,
  -- Slides with use, but never past expires_at, which stays where it was put.
  idle_expires_at timestamptz not null,
  expires_at timestamptz not null,
  -- Since a long pause: when it was used again, and how often since.
  woke_at timestamptz,
  uses_since_waking integer not null default 0,
  ended_at timestamptz,
  end_reason text,
  constraint sessions_family_key unique (family_id),
  check (idle_expires_at <= expires_at),
  check ((ended_at is null) = (end_reason is null))
);
create index sessions_live on sessions (user_id, created_at) where ended_at is null;
create index sessions_by_user on sessions (user_id, created_at);
create index sessions_over on sessions (expires_at);

-- Every refresh token that was ever given out in a family, by its SHA-256: a spent one must be known to be noticed.
create table refresh_tokens (
  hash bytea primary key check (length(hash) = 32),
  session_id text not null references sessions (id) on delete cascade,
  generation integer not null check (generation > 0),
  created_at timestamptz not null,
  spent_at timestamptz,
  constraint refresh_tokens_line unique (session_id, generation)
);

-- What is no longer good, committed together with the reason for it. published_epoch is the history of Redis that has it.
create table revocations (
  sequence bigint generated always as identity primary key,
  id text not null check (id ~ '^(tok|ses|fam|usr)_'),
  reason text not null,
  created_at timestamptz not null,
  -- Of a user: what was issued before.
  issued_before timestamptz,
  -- The last access token that it could hit has expired by then.
  expires_at timestamptz not null,
  published_epoch text,
  check ((id like 'usr\_%') = (issued_before is not null))
);
create index revocations_live on revocations (expires_at);
create index revocations_by_id on revocations (id);

-- The security log. It is only added to; rows go with their account or after a year.
create table security_events (
  id text primary key check (id like 'sev\_%'),
  user_id text not null references users (id) on delete cascade,
  type text not null check (length(type) between 1 and 60),
  severity text not null check (severity in ('info', 'warning', 'critical')),
  at timestamptz not null,
  session_id text,
  device text,
  address inet,
  country text,
  detail text check (length(detail) <= 300),
  -- Who did it, where it was not the person.
  actor_id text
);
create index security_events_of on security_events (user_id, at desc, id desc);
create index security_events_old on security_events (at);

-- Attempts to log in, by account (HMAC of the address, so that unknown ones count alike) and by where they come from.
create table login_attempts (
  account bytea not null,
  source text not null check (length(source) <= 100),
  attempts integer not null,
  window_ends_at timestamptz not null,
  primary key (account, source)
);
create index login_attempts_over on login_attempts (window_ends_at);

-- Codes that were sent by mail, by their SHA-256; each good once.
create table one_time_codes (
  hash bytea primary key check (length(hash) = 32),
  user_id text not null references users (id) on delete cascade,
  purpose text not null check (purpose in ('verify_email', 'reset_password')),
  email text not null,
  created_at timestamptz not null,
  expires_at timestamptz not null,
  -- Also when a newer one took its place.
  used_at timestamptz
);
create index one_time_codes_of on one_time_codes (user_id, purpose, created_at);
create index one_time_codes_over on one_time_codes (expires_at);
