-- Adds revocations to those that are live, forgets the ones that have ended, and announces them, all in one step.
-- Adding the same again changes nothing, so it may be sent again.
-- KEYS[1] sequence   KEYS[2] log   KEYS[3] sorted set of live revocations by the moment at which each ends
-- ARGV[1] target   ARGV[2] payload   ARGV[3] the moment of now, in ms   ARGV[4…] end and text of each, one after another
-- Returns the epoch that has them, and the number of the message
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', '(' .. ARGV[3])
for at = 4, #ARGV, 2 do
  redis.call('ZADD', KEYS[3], ARGV[at], ARGV[at + 1])
end
local now, sequence = announce(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
return { now, sequence }
