#!lua flags=no-writes
-- Reads entries together with the identity of the history they are read from.
-- KEYS[1] generations   KEYS[2..] entries and tags
-- ARGV none, or: ARGV[1] bytes after which no more is read   ARGV[2] number of keys that are read in any case
-- Returns epoch, and the list of values: of all keys, or of the first ones
local most, least = tonumber(ARGV[1]), tonumber(ARGV[2])
if not most and #KEYS <= 4000 then return { epoch(), redis.call('MGET', unpack(KEYS)) } end
local values = {}
if most then
  local bytes = 0
  for i = 1, #KEYS do
    local value = redis.call('MGET', KEYS[i])[1]
    values[i] = value
    if value then bytes = bytes + #value end
    if bytes >= most and i >= least then break end
  end
  return { epoch(), values }
end
-- More than a call out of Lua may have.
for from = 1, #KEYS, 4000 do
  local some = redis.call('MGET', unpack(KEYS, from, math.min(from + 3999, #KEYS)))
  for i = 1, #some do values[from + i - 1] = some[i] end
end
return { epoch(), values }
