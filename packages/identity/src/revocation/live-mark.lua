-- Marks the live revocations as complete in one history; or tells only whether they are.
-- A member "complete <epoch>" without an end says so. Another epoch's member says nothing: a failover may have lost some.
-- KEYS[1] sorted set of live revocations by the moment at which each ends
-- ARGV[1] epoch in which they are complete, or empty to ask only
-- Returns {epoch, 1 when they are complete in it, else 0}
local now = epoch()
if ARGV[1] == now then
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '+inf', '+inf')
  redis.call('ZADD', KEYS[1], '+inf', 'complete ' .. now)
end
local is_complete = redis.call('ZSCORE', KEYS[1], 'complete ' .. now) and 1 or 0
return { now, is_complete }
