#!lua flags=no-writes
-- Reads entries together with the identity of the history they are read from.
-- KEYS[1] generations   KEYS[2..] entries and tags
-- ARGV none
-- Returns epoch, and the list of values
return { epoch(), redis.call('MGET', unpack(KEYS)) }
