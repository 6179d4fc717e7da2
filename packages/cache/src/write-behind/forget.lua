#!lua flags=allow-oom
-- Drops entries that are done with, from the stream and from what is with the writer.
-- KEYS[1] stream
-- ARGV[1] group   ARGV[2..] ids
-- Returns how many entries were there
local count = 0
for i = 2, #ARGV do
  redis.call('XACK', KEYS[1], ARGV[1], ARGV[i])
  count = count + redis.call('XDEL', KEYS[1], ARGV[i])
end
return count
