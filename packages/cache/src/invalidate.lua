#!lua flags=allow-oom
-- Removes entries together with their leases, and moves generations to a value never used before.
-- KEYS[1..n] entries and leases   KEYS[n+1..] generations
-- ARGV[1] n   ARGV[2] the new generation
-- Returns the number of entries and leases removed
local removed = 0
local n = tonumber(ARGV[1])
for i = 1, n do removed = removed + redis.call('DEL', KEYS[i]) end
for i = n + 1, #KEYS do redis.call('SET', KEYS[i], ARGV[2]) end
return removed
