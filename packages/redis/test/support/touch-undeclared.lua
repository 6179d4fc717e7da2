-- Writes to a key that it does not declare.
-- KEYS none needed
-- ARGV[1] key
-- Returns 1
redis.call('SET', ARGV[1], '1')
return 1
