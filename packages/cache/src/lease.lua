-- Takes the lease of one key, if nobody has it, before its loader runs.
-- KEYS[1] lease
-- ARGV[1] token of this flight   ARGV[2] lifetime in ms
-- Returns 1 when the lease is the caller's, else 0
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
return 0
