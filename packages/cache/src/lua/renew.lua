#!lua flags=allow-oom
-- Keeps the lease of a load that takes long.
-- KEYS[1] lease
-- ARGV[1] token   ARGV[2] lifetime in ms
-- Returns 1 when it is still the caller's, else 0
local holder = redis.call('GET', KEYS[1])
if holder ~= ARGV[1] and holder ~= ARGV[1] .. '!' then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
