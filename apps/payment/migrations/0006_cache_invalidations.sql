-- What a write invalidates, stored in the write's own transaction: so it is invalidated also when the process that wrote
-- dies right after the commit, or when Redis loses it in a failover together with that process.
create table cache_invalidations (
  id bigint generated always as identity primary key,
  refs text not null check (length(refs) between 2 and 262144),
  created_at timestamptz not null default now(),
  -- The history of Redis that is known to have executed it; null while none is.
  history text
);
