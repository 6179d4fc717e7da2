-- Acknowledges an entry, if it is still the event that the caller handled.
-- After a failover the new history can use an id again, for another event, which must not pass for handled.
-- KEYS[1] the stream
-- ARGV[1] group   ARGV[2] entry id   ARGV[3] event id, or '' for an entry that has none
-- Returns 1 when it was acknowledged, 0 when there was nothing to acknowledge, -1 when it is another event

local entry = redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[2])[1]
if entry and ARGV[3] ~= '' then
  local fields = entry[2]
  for i = 1, #fields, 2 do
    if fields[i] == 'id' and fields[i + 1] ~= ARGV[3] then return -1 end
  end
end
return redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
