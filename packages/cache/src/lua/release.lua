#!lua flags=allow-oom
-- Gives up the lease of a load that brought nothing to store, and wakes who waits for it.
-- KEYS[1] lease
-- ARGV[1] token   ARGV[2] channel   ARGV[3] shard   ARGV[4] name of the entry
-- Returns 1 when it was the caller's, else 0
local holder = redis.call('GET', KEYS[1])
if holder ~= ARGV[1] and holder ~= ARGV[1] .. '!' then return 0 end
redis.call('UNLINK', KEYS[1])
if holder ~= ARGV[1] then redis.call('PUBLISH', ARGV[2], ARGV[3] .. ' ~ failed ' .. ARGV[4]) end
return 1
