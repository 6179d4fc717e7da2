-- Appends a message to the log of a channel and wakes who listens.
-- KEYS[1] log, a stream whose ids are the sequence
-- ARGV[1] payload   ARGV[2] most messages kept   ARGV[3] pub/sub channel to wake listeners by
-- Returns the id of the message
local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'p', ARGV[1])
redis.call('PUBLISH', ARGV[3], id)
return id
