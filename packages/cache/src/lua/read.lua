#!lua flags=no-writes
-- Reads entries together with the identity of the history they are read from.
-- KEYS[1] generations   KEYS[2..] entries and tags
-- ARGV none
-- Returns epoch, and the list of values
if #KEYS <= 4000 then return { epoch(), redis.call('MGET', unpack(KEYS)) } end
-- More than a call out of Lua may have.
local values = {}
for from = 1, #KEYS, 4000 do
  local some = redis.call('MGET', unpack(KEYS, from, math.min(from + 3999, #KEYS)))
  for i = 1, #some do values[from + i - 1] = some[i] end
end
return { epoch(), values }
