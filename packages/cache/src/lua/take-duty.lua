-- Takes a duty that one process of a fleet has at a time, or extends it.
-- KEYS[1] duty
-- ARGV[1] token of the process   ARGV[2] lifetime in ms
-- Returns 1 when the process has it now, else 0
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
