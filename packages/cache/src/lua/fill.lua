-- Stores loaded values, each unless something was invalidated since its load began.
-- KEYS[1] generations   KEYS[2..n+1] entries   KEYS[n+2..2n+1] their leases   KEYS[2n+2..] the tags of all
-- ARGV[1] epoch of the leases   ARGV[2] channel   ARGV[3] shard   ARGV[4] n   then n each: tokens, kinds, TTLs in ms, numbers of tags, values (their headers have the sequence at the lease)
-- Returns for each: 1 stored, 0 its lease is gone, -1 another history, -2 its tag or kind was invalidated
local same, n = epoch() == ARGV[1], tonumber(ARGV[4])
local generations = cjson.decode(redis.call('GET', KEYS[1]) or '{}')
local function moved(kind) return generations[kind] and tonumber(generations[kind][2]) or 0 end
local everything = moved('*')

-- A call costs more than what it does: leases are read and removed all at once. Most have the kind and sequence of the one before.
local holders = redis.call('MGET', unpack(KEYS, n + 2, 2 * n + 1))
local reply, done = {}, {}
local kind, fence, at, loaded
local tag = 2 * n + 2
for i = 1, n do
  local token, holder, value = ARGV[i + 4], holders[i], ARGV[i + 4 + 4 * n]
  if ARGV[i + 4 + n] ~= kind then
    kind = ARGV[i + 4 + n]
    fence = math.max(everything, moved(kind))
  end
  local since = string.sub(value, 19, 34)
  if since ~= at then at, loaded = since, tonumber(since) end
  local last = tag + ARGV[i + 4 + 3 * n] - 1
  local result = 1
  if holder ~= token and holder ~= token .. '!' then
    result = 0
  elseif not same then
    result = -1
  elseif fence > loaded then
    result = -2
  else
    for k = tag, last do
      local invalidated = redis.call('GET', KEYS[k])
      if invalidated and tonumber(string.match(invalidated, '^(%d+):')) > loaded then result = -2 end
    end
  end
  tag = last + 1
  if result == 1 then redis.call('PSETEX', KEYS[i + 1], ARGV[i + 4 + 2 * n], value) end
  if result ~= 0 then
    done[#done + 1] = KEYS[n + 1 + i]
    if holder ~= token then redis.call('PUBLISH', ARGV[2], ARGV[3] .. ' ~ filled ' .. KEYS[i + 1]) end
  end
  reply[i] = result
end
if #done > 0 then redis.call('UNLINK', unpack(done)) end
return reply
