-- E-mail addresses are stored as src/email.ts normalises them, so that the unique constraint means what people expect.
create table users (
  id text primary key check (id like 'usr\_%'),
  email text not null check (email = lower(email) and length(email) between 3 and 254),
  password_hash text not null check (password_hash like '$argon2id$%'),
  name text not null check (length(name) between 1 and 100),
  phone text check (phone ~ '^\+[1-9][0-9]{6,14}$'),
  roles text[] not null default '{}',
  status text not null default 'active' check (status in ('active', 'disabled')),
  version integer not null default 1 check (version > 0),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint users_email_key unique (email)
);

-- One row for each person, made with the account.
create table preferences (
  user_id text primary key references users (id) on delete cascade,
  language text not null default 'en' check (language in ('en', 'ha', 'ig', 'yo')),
  email_notifications boolean not null default true,
  sms_notifications boolean not null default false,
  due_reminder_days integer not null default 3 check (due_reminder_days between 0 and 30),
  version integer not null default 1 check (version > 0),
  updated_at timestamptz not null default now()
);
