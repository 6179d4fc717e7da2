#!lua flags=allow-oom
-- Keeps the leases of loads that take long.
-- KEYS leases
-- ARGV[1] lifetime in ms   ARGV[2..] of each: token
-- Returns how many are still the caller's
local held = 0
for i = 1, #KEYS do
  local holder, token = redis.call('GET', KEYS[i]), ARGV[i + 1]
  if holder == token or holder == token .. '!' then held = held + redis.call('PEXPIRE', KEYS[i], ARGV[1]) end
end
return held
