-- Takes a lock that is free, whose time is over, or that is the caller's already; its time begins now.
-- A fencing token is the server's time in µs, or one more than the last one where that is greater: so tokens grow when the
-- clock is set back, and on a new master that has lost the last ones.
-- KEYS[1] the lock, a hash: owner, until (server time in µs), token
-- ARGV[1] owner   ARGV[2] milliseconds to hold it   ARGV[3] milliseconds for which its last token is remembered after that
-- Returns {1, fencing token} when it is the caller's, else {0, milliseconds until its time is over}
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local owner, until_us, last = unpack(redis.call('HMGET', KEYS[1], 'owner', 'until', 'token'))
local left = (tonumber(until_us) or 0) - now
local token = last
if left > 0 then
  if owner ~= ARGV[1] then return { 0, math.ceil(left / 1000) } end
else
  token = string.format('%.0f', math.max(now, (tonumber(last) or 0) + 1))
end
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'until', string.format('%.0f', now + ARGV[2] * 1000), 'token', token)
redis.call('PEXPIRE', KEYS[1], ARGV[2] + ARGV[3])
return { 1, token }
