#!lua flags=allow-oom
-- Removes tags that were last moved so long ago that no entry older than that is left.
-- KEYS[1] index of tags   KEYS[2..] tags
-- ARGV[1] time in seconds before which a tag may be forgotten
-- Returns the number of tags removed
local removed = 0
for i = 2, #KEYS do
  local moved = redis.call('ZSCORE', KEYS[1], KEYS[i])
  if moved and tonumber(moved) < tonumber(ARGV[1]) then
    redis.call('UNLINK', KEYS[i])
    redis.call('ZREM', KEYS[1], KEYS[i])
    removed = removed + 1
  end
end
return removed
