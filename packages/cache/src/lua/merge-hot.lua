-- Adds counts to a bounded list of keys, where old counts fade.
-- KEYS[1] list (sorted set)   KEYS[2] about it (hash: "~at" time of the last fading in ms, "~total" sum of all counts; the others are arguments of keys)
-- ARGV[1] most keys   ARGV[2] half-life in ms   ARGV[3] lifetime of both in ms   ARGV[4..] of each: key, count, arguments as JSON or empty
-- Returns the sum of all counts, as text
local list, about = KEYS[1], KEYS[2]
local capacity, half = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- Redis may have evicted the one without the other.
if redis.call('EXISTS', list) ~= redis.call('EXISTS', about) then redis.call('UNLINK', list, about) end
local total = tonumber(redis.call('HGET', about, '~total') or 0)

-- Fading all at once, now and then, is the same as fading each count on its own.
local at = tonumber(redis.call('HGET', about, '~at') or now)
if now - at >= half / 64 or now < at then
  local factor = 0.5 ^ (math.max(0, now - at) / half)
  redis.call('ZUNIONSTORE', list, 1, list, 'WEIGHTS', factor)
  total = total * factor
  local faded = redis.call('ZRANGEBYSCORE', list, '-inf', 0.01, 'LIMIT', 0, 1000)
  if #faded > 0 then
    redis.call('ZREM', list, unpack(faded))
    redis.call('HDEL', about, unpack(faded))
  end
  at = now
end

-- Space-Saving: a key that finds no place takes that of the smallest, with its count.
local size = redis.call('ZCARD', list)
for i = 4, #ARGV, 3 do
  local key, count, arguments = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2]
  total = total + count
  if not redis.call('ZSCORE', list, key) then
    if size < capacity then
      size = size + 1
    else
      local smallest = redis.call('ZPOPMIN', list)
      redis.call('HDEL', about, smallest[1])
      count = count + tonumber(smallest[2])
    end
  end
  redis.call('ZINCRBY', list, count, key)
  if arguments ~= '' then redis.call('HSET', about, key, arguments) end
end
redis.call('HSET', about, '~at', at, '~total', total)
redis.call('PEXPIRE', list, ARGV[3])
redis.call('PEXPIRE', about, ARGV[3])
return string.format('%.3f', total)
