#!lua flags=allow-oom
-- Frees a lock, if it is the caller's. The last token stays: the next one must be greater.
-- KEYS[1] the lock
-- ARGV[1] owner
-- Returns 1 when the caller still held it, else 0
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local owner, until_us = unpack(redis.call('HMGET', KEYS[1], 'owner', 'until'))
if owner ~= ARGV[1] then return 0 end
redis.call('HDEL', KEYS[1], 'owner', 'until')
return tonumber(until_us) > now and 1 or 0
