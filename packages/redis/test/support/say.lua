#!lua flags=allow-oom
-- Announces a word, and counts how often that was done.
-- KEYS[1] sequence   KEYS[2] log   KEYS[3] hash of counts
-- ARGV[1] target   ARGV[2] word
-- Returns epoch and sequence
local now, sequence = announce(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
redis.call('HINCRBY', KEYS[3], ARGV[2], 1)
return { now, sequence }
