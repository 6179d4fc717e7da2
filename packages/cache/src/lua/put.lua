-- Stores values that did not come from a load, voids the loads of their keys, and tells every process.
-- KEYS[1] sequence   KEYS[2] log   KEYS[3] generations   KEYS[4..2n+3] of each: entry and lease   KEYS[2n+4..] the tags of those that depend on a lease; then what else is removed
-- ARGV[1] target   ARGV[2] payload   ARGV[3] n   ARGV[4] kind   ARGV[5..] of each: token, epoch and sequence of the lease that the value depends on, or empty; number of tags; value before and after epoch and sequence; TTL in ms
-- Returns epoch, sequence, and for each 1 when it was stored, 0 when it was only removed
local now, sequence = announce(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
local n, kind = tonumber(ARGV[3]), ARGV[4]
local reply = { now, sequence }
local generations
local tag = 4 + 2 * n

local function moved(name)
  generations = generations or cjson.decode(redis.call('GET', KEYS[3]) or '{}')
  return generations[name] and tonumber(generations[name][2]) or 0
end

-- Whether somebody invalidated the value since its lease was taken. Of its key an invalidation removes the lease; of
-- its tags and its kind it does not.
local function overtaken(since, tags)
  if math.max(moved('*'), moved(kind)) > since then return true end
  for k = tag, tag + tags - 1 do
    local invalidated = redis.call('GET', KEYS[k])
    if invalidated and tonumber(string.match(invalidated, '(%d+)$')) > since then return true end
  end
  return false
end

for i = 1, n do
  local a, entry, lease = 5 + (i - 1) * 7, KEYS[2 + 2 * i], KEYS[3 + 2 * i]
  local token, tags = ARGV[a], tonumber(ARGV[a + 3])
  local holder = token ~= '' and redis.call('GET', lease)
  redis.call('UNLINK', lease)
  local isHeld = now == ARGV[a + 1] and (holder == token or holder == token .. '!')
  if token == '' or (isHeld and not overtaken(tonumber(ARGV[a + 2]), tags)) then
    redis.call('SET', entry, ARGV[a + 4] .. now .. sequence .. ARGV[a + 5], 'PX', ARGV[a + 6])
    reply[#reply + 1] = 1
  else
    redis.call('UNLINK', entry)
    reply[#reply + 1] = 0
  end
  tag = tag + tags
end
if #KEYS >= tag then redis.call('UNLINK', unpack(KEYS, tag)) end
return reply
