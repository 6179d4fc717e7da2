-- What the scripts of a channel share. It is put in front of each of them.

-- The identity of the history that this server continues. It changes with every failover and every restart without data.
local function epoch()
  local id = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
  return string.sub(id, 1, 16)
end

-- A sequence that is not there starts at the server's time in microseconds, so that numbers from before a FLUSHALL do not
-- come again. (Numbers stay below 2^53, the largest that Lua holds exactly, until the year 2255.)
local function start_of_sequence(key)
  local now = redis.call('TIME')
  local text = string.format('%.0f', now[1] * 1000000 + now[2])
  redis.call('SET', key, text)
  return text
end

-- The last number given out, as text.
local function sequence_of(key)
  return redis.call('GET', key) or start_of_sequence(key)
end

-- Gives the next number to a message, keeps it in the log, and publishes it. `target` is "<channel> <shard> <kept messages>".
-- Returns the epoch and the number, as texts.
local function announce(sequence_key, log_key, target, payload)
  local channel, shard, kept = string.match(target, '^(%S+) (%d+) (%d+)$')
  local number = redis.call('INCR', sequence_key)
  local sequence = number == 1 and start_of_sequence(sequence_key) or string.format('%.0f', number)
  local now = epoch()
  redis.call('LPUSH', log_key, sequence .. ' ' .. payload)
  redis.call('LTRIM', log_key, 0, kept - 1)
  redis.call('PUBLISH', channel, shard .. ' ' .. now .. ' ' .. sequence .. ' ' .. payload)
  return now, sequence
end

