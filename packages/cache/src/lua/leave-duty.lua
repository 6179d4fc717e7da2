#!lua flags=allow-oom
-- Gives up a duty.
-- KEYS[1] duty
-- ARGV[1] token of the process
-- Returns 1 when the process had it, else 0
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('UNLINK', KEYS[1])
return 1
