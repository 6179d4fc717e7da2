#!lua flags=allow-oom
-- Takes the marks off keys whose change is in the source now, unless a newer one is pending.
-- KEYS[1] pending, key → version of its newest change
-- ARGV[1..] of each: key, version that was written
-- Returns how many marks were taken off
local count = 0
for i = 1, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then
    count = count + redis.call('HDEL', KEYS[1], ARGV[i])
  end
end
return count
