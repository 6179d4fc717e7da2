-- Stores loaded values, each unless something was invalidated since its load began.
-- KEYS[1] generations   KEYS[2..] of each: entry, lease, its tags
-- ARGV[1] epoch of the leases   ARGV[2] channel   ARGV[3] shard
-- ARGV[4..] of each: token, kind and number of tags with a space between them; value, whose header has the sequence at the lease and the TTL in ms
-- Returns for each: 1 stored, 0 its lease is gone, -1 another history, -2 its tag or kind was invalidated
local same = epoch() == ARGV[1]
local generations = cjson.decode(redis.call('GET', KEYS[1]) or '{}')
local function fence(kind) return generations[kind] and tonumber(generations[kind][2]) or 0 end
local everything = fence('*')
local reply = {}
local k, a = 2, 4
while k <= #KEYS do
  local entry, lease = KEYS[k], KEYS[k + 1]
  local token, kind, tags = string.match(ARGV[a], '^(%S+) (%S+) (%d+)$')
  local value = ARGV[a + 1]
  local loaded = tonumber(string.sub(value, 19, 34))
  tags = tonumber(tags)
  local holder = redis.call('GET', lease)
  local result = 1
  if holder ~= token and holder ~= token .. '!' then
    result = 0
  elseif not same then
    result = -1
  elseif everything > loaded or fence(kind) > loaded then
    result = -2
  else
    for i = k + 2, k + 1 + tags do
      local tag = redis.call('GET', KEYS[i])
      if tag and tonumber(string.match(tag, '^(%d+):')) > loaded then result = -2 end
    end
  end
  if result == 1 then redis.call('SET', entry, value, 'PX', tonumber(string.sub(value, 58, 67))) end
  if result ~= 0 then redis.call('UNLINK', lease) end
  if result ~= 0 and holder ~= token then redis.call('PUBLISH', ARGV[2], ARGV[3] .. ' ~ filled ' .. entry) end
  reply[#reply + 1] = result
  k, a = k + 2 + tags, a + 2
end
return reply
