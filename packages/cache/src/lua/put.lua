-- Stores values that did not come from a load, voids the loads of their keys, and tells every process.
-- KEYS[1] sequence   KEYS[2] log   KEYS[3..] of each: entry and lease; then what else is removed
-- ARGV[1] target   ARGV[2] payload   ARGV[3..] of each: token and epoch of the lease that the value depends on, or empty; value before and after epoch and sequence; TTL in ms
-- Returns epoch, sequence, and for each 1 when it was stored, 0 when it was only removed
local now, sequence = announce(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
local reply = { now, sequence }
local last = 2 + (#ARGV - 2) / 5 * 2
if #KEYS > last then redis.call('UNLINK', unpack(KEYS, last + 1)) end
for i = 3, last, 2 do
  local a = 3 + (i - 3) / 2 * 5
  local token = ARGV[a]
  local holder = token ~= '' and redis.call('GET', KEYS[i + 1])
  redis.call('UNLINK', KEYS[i + 1])
  if token == '' or (now == ARGV[a + 1] and (holder == token or holder == token .. '!')) then
    redis.call('SET', KEYS[i], ARGV[a + 2] .. now .. sequence .. ARGV[a + 3], 'PX', ARGV[a + 4])
    reply[#reply + 1] = 1
  else
    redis.call('UNLINK', KEYS[i])
    reply[#reply + 1] = 0
  end
end
return reply
