-- Removes consumers that hold nothing: the caller, and those that have not been heard of for long.
-- Looking and removing are one step here, because removing a consumer forgets what it holds.
-- KEYS[1] the stream
-- ARGV[1] group   ARGV[2] milliseconds without a sign of life   ARGV[3] a consumer that leaves now, or ''
-- Returns the number of consumers removed

local consumers = redis.pcall('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])
if consumers.err then
  -- No such stream or group: there is nobody to remove.
  if string.find(consumers.err, 'no such key', 1, true) or string.find(consumers.err, 'NOGROUP', 1, true) then
    return 0
  end
  return consumers
end
local removed = 0
for _, flat in ipairs(consumers) do
  local consumer = {}
  for i = 1, #flat, 2 do consumer[flat[i]] = flat[i + 1] end
  local leaves = consumer['name'] == ARGV[3] or consumer['idle'] > tonumber(ARGV[2])
  if leaves and consumer['pending'] == 0 then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], consumer['name'])
    removed = removed + 1
  end
end
return removed
