#!lua flags=allow-oom
-- Begins the time of a lock anew, while it is still the caller's. A hold whose time is over is over.
-- KEYS[1] the lock
-- ARGV[1] owner   ARGV[2] milliseconds to hold it   ARGV[3] milliseconds for which its last token is remembered after that
-- Returns 1 when it is still the caller's, else 0
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local owner, until_us = unpack(redis.call('HMGET', KEYS[1], 'owner', 'until'))
if owner ~= ARGV[1] or tonumber(until_us) <= now then return 0 end
redis.call('HSET', KEYS[1], 'until', string.format('%.0f', now + ARGV[2] * 1000))
redis.call('PEXPIRE', KEYS[1], ARGV[2] + ARGV[3])
return 1
