#!lua flags=allow-oom
-- Tells where a channel stands, and what the caller has missed; a write, so that a master without replicas refuses it.
-- KEYS[1] sequence   KEYS[2] log   KEYS[3] mark of the last caller
-- ARGV[1] epoch that the caller knows, or empty   ARGV[2] last sequence number that it has applied
-- Returns epoch, sequence, server time in µs, 1 when what follows is complete, else 0, and the missed messages, newest first
redis.call('SET', KEYS[3], '1', 'PX', 60000)
local now = epoch()
local sequence = sequence_of(KEYS[1])
local time = redis.call('TIME')
local reply = { now, sequence, string.format('%.0f', time[1] * 1000000 + time[2]), 0 }
if now ~= ARGV[1] then return reply end
local missed = tonumber(sequence) - tonumber(ARGV[2])
if missed == 0 then
  reply[4] = 1
elseif missed > 0 and missed <= redis.call('LLEN', KEYS[2]) then
  reply[4] = 1
  for _, message in ipairs(redis.call('LRANGE', KEYS[2], 0, missed - 1)) do
    reply[#reply + 1] = message
  end
end
return reply
