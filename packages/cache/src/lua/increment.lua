-- Adds to a counter; its lifetime begins when it does.
-- KEYS[1] counter
-- ARGV[1] whole number   ARGV[2] TTL in ms
-- Returns the new value, as text
redis.call('INCRBY', KEYS[1], ARGV[1])
if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return redis.call('GET', KEYS[1])
