-- Stores loaded values, each unless something was invalidated since its load began.
-- KEYS[1] generations   KEYS[2..] of each: entry, lease, its tags
-- ARGV[1] epoch of the leases   ARGV[2] channel   ARGV[3] shard
-- ARGV[4..] of each: token, kind and number of tags with a space between them; value, whose header has the sequence at the lease and the TTL in ms
-- Returns for each: 1 stored, 0 its lease is gone, -1 another history, -2 its tag or kind was invalidated
local same = epoch() == ARGV[1]
local generations = cjson.decode(redis.call('GET', KEYS[1]) or '{}')
local function fence(kind) return generations[kind] and tonumber(generations[kind][2]) or 0 end
local everything = fence('*')

-- A call costs more than what it does: leases are read and removed all at once.
local jobs, leases = {}, {}
local k = 2
for a = 4, #ARGV, 2 do
  local token, kind, tags = string.match(ARGV[a], '^(%S+) (%S+) (%d+)$')
  jobs[#jobs + 1] = { token, kind, k, k + 1 + tags, ARGV[a + 1] }
  leases[#leases + 1] = KEYS[k + 1]
  k = k + 2 + tags
end
local holders = redis.call('MGET', unpack(leases))
local reply, done = {}, {}
for i, job in ipairs(jobs) do
  local token, kind, first, last, value = unpack(job)
  local entry, loaded = KEYS[first], tonumber(string.sub(value, 19, 34))
  local holder = holders[i]
  local result = 1
  if holder ~= token and holder ~= token .. '!' then
    result = 0
  elseif not same then
    result = -1
  elseif everything > loaded or fence(kind) > loaded then
    result = -2
  else
    for at = first + 2, last do
      local tag = redis.call('GET', KEYS[at])
      if tag and tonumber(string.match(tag, '^(%d+):')) > loaded then result = -2 end
    end
  end
  if result == 1 then redis.call('SET', entry, value, 'PX', tonumber(string.sub(value, 58, 67))) end
  if result ~= 0 then done[#done + 1] = leases[i] end
  if result ~= 0 and holder ~= token then redis.call('PUBLISH', ARGV[2], ARGV[3] .. ' ~ filled ' .. entry) end
  reply[i] = result
end
if #done > 0 then redis.call('UNLINK', unpack(done)) end
return reply
