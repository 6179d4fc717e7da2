-- Lets an entry begin its lifetime anew.
-- KEYS[1] entry
-- ARGV[1] time of storing, ages and sizes as the header has them   ARGV[2] TTL in ms   ARGV[3] header that the caller has seen
-- Returns 1 when it was that entry, else 0
if redis.call('GETRANGE', KEYS[1], 0, 70) ~= ARGV[3] then return 0 end
redis.call('SETRANGE', KEYS[1], 34, ARGV[1])
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
