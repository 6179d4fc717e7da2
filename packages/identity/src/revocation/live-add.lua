-- Adds revocations to those that are live, forgets the ones that have ended, and tells in which history that happened.
-- KEYS[1] sorted set of live revocations by the moment at which each ends
-- ARGV[1] that moment of now, in ms   ARGV[2…] end and text of each, one after another
-- Returns the epoch: the replication id, which changes with every failover
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[1])
for at = 2, #ARGV, 2 do
  redis.call('ZADD', KEYS[1], ARGV[at], ARGV[at + 1])
end
return string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
