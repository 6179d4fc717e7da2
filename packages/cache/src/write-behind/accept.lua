-- Accepts changes: appends them to the stream, and marks their keys as having one that is not in the source yet.
-- A version is the server's time in µs, or one more than the last where that is greater, and the entry's id is "<version>-0":
-- so versions grow in the order of acceptance, also when the clock is set back or a failover loses the last ones.
-- KEYS[1] stream   KEYS[2] pending, key → version of its newest change   KEYS[3] last version
-- ARGV[1] most entries of the stream   ARGV[2] most pending keys   ARGV[3..] of each: key, codecs of name and value, name, value
-- Returns for each its version, or "stream" or "keys" for what is full
local time = redis.call('TIME')
local version = math.max(time[1] * 1000000 + time[2], (tonumber(redis.call('GET', KEYS[3])) or 0) + 1)
local entries, keys = redis.call('XLEN', KEYS[1]), redis.call('HLEN', KEYS[2])
local reply = {}
for i = 3, #ARGV, 4 do
  local key = ARGV[i]
  local is_pending = redis.call('HEXISTS', KEYS[2], key) == 1
  if entries >= tonumber(ARGV[1]) then
    reply[#reply + 1] = 'stream'
  elseif not is_pending and keys >= tonumber(ARGV[2]) then
    reply[#reply + 1] = 'keys'
  else
    local text = string.format('%.0f', version)
    redis.call('XADD', KEYS[1], text .. '-0', 'k', key, 'c', ARGV[i + 1], 'n', ARGV[i + 2], 'v', ARGV[i + 3])
    redis.call('HSET', KEYS[2], key, text)
    redis.call('SET', KEYS[3], text)
    reply[#reply + 1] = text
    version, entries = version + 1, entries + 1
    if not is_pending then keys = keys + 1 end
  end
end
return reply
