#!lua flags=allow-oom
-- Adds to a counter and remembers by whom.
-- KEYS[1] counter   KEYS[2] who added last
-- ARGV[1] amount    ARGV[2] name, any bytes
-- Returns the new value and the name
local value = redis.call('INCRBY', KEYS[1], ARGV[1])
redis.call('SET', KEYS[2], ARGV[2])
return { value, ARGV[2] }
