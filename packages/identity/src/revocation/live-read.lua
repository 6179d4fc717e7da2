-- Reads all live revocations, and whether these are all.
-- KEYS[1] sorted set of live revocations by the moment at which each ends
-- ARGV[1] now, in ms
-- Returns {1 when they are complete in this server's history, else 0, the text of each…}
local epoch = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
local is_complete = redis.call('ZSCORE', KEYS[1], 'complete ' .. epoch) and 1 or 0
local reply = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. ARGV[1], '(+inf')
table.insert(reply, 1, is_complete)
return reply
