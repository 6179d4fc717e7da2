-- Reads live revocations, a page at a time, in the order of the moments at which they end.
-- KEYS[1] sorted set of live revocations by the moment at which each ends
-- ARGV[1] least moment   ARGV[2] how many with just that moment are known already   ARGV[3] most to read
-- Returns {epoch, 1 when the set is complete in it, else 0, text and moment of each…}
local now = epoch()
local is_complete = redis.call('ZSCORE', KEYS[1], 'complete ' .. now) and 1 or 0
local reply = { now, is_complete }
local found = redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[1], '(+inf', 'WITHSCORES', 'LIMIT', ARGV[2], ARGV[3])
for _, part in ipairs(found) do
  reply[#reply + 1] = part
end
return reply
