-- Replaces a value if it is still the one that the caller knows.
-- KEYS[1] sequence   KEYS[2] log   KEYS[3] entry   KEYS[4] lease   KEYS[5] generations   KEYS[6..] removed with it
-- ARGV[1] target   ARGV[2] payload   ARGV[3] "=" and the known value, or "-" for none   ARGV[4], ARGV[5] new value before and after epoch and sequence
-- ARGV[6] TTL in ms   ARGV[7] kind   ARGV[8] layout and codec of the known value
-- Returns epoch, sequence, and 1 when it was replaced, else 0
local present = redis.call('GET', KEYS[3])
if present then
  local generations = cjson.decode(redis.call('GET', KEYS[5]) or '{}')
  local loaded = tonumber(string.sub(present, 19, 34)) or 0
  for _, kind in ipairs({ '*', ARGV[7] }) do
    if generations[kind] and tonumber(generations[kind][1]) > loaded then present = false end
  end
end
local known = '-'
if present then
  known = '=' .. string.sub(present, 72 + (tonumber(string.sub(present, 68, 71)) or 0))
end
if known ~= ARGV[3] or (present and string.sub(present, 1, 2) ~= ARGV[8]) then
  return { epoch(), sequence_of(KEYS[1]), 0 }
end
local now, sequence = announce(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
redis.call('UNLINK', KEYS[4], unpack(KEYS, 6))
redis.call('SET', KEYS[3], ARGV[4] .. now .. sequence .. ARGV[5], 'PX', ARGV[6])
return { now, sequence, 1 }
