-- Sliding window log: the moment of every unit that counts. Exact, and the one whose memory grows with the limit.
-- KEYS   one a level: a sorted set, a member for each unit, its score the moment in µs
-- ARGV   limit and window of the level's row, see decide.lua
-- Returns look: µs to wait (0: enough is there), units there, µs until all is forgotten, state; charge: units there, µs
local function moment_of(key, rank)
  return tonumber(call('ZRANGE', key, rank, rank, 'WITHSCORES')[2])
end

local function look(key, row, now)
  call('ZREMRANGEBYSCORE', key, '-inf', now - row.window)
  local count = call('ZCARD', key)
  local newest = count > 0 and moment_of(key, -1) or now
  -- Written by a server whose clock was ahead by more than a window.
  if newest > now + row.window then
    call('DEL', key)
    count, newest = 0, now
  end
  local wait = 0
  local missing = count + row.required - row.limit
  if row.need > 0 and missing > 0 then
    local frees = moment_of(key, min(missing, count) - 1) or now
    wait = frees + row.window - now
    if wait < 1 then wait = 1 end
  end
  return wait, row.limit - count, count > 0 and newest + row.window - now or 0, count, newest
end

local function add(key, at, first, units)
  local members = {}
  for unit = first, first + units - 1 do
    members[#members + 1] = at
    members[#members + 1] = format('%d:%07d', at, unit)
    if #members == 2000 then
      call('ZADD', key, unpack(members))
      members = {}
    end
  end
  if #members > 0 then call('ZADD', key, unpack(members)) end
end

local function charge(key, row, now, units, count, newest)
  if units < 0 then
    local members = call('ZRANGEBYSCORE', key, row.charged_at, row.charged_at, 'LIMIT', 0, -units)
    if #members > 0 then call('ZREM', key, unpack(members)) end
    count = call('ZCARD', key)
    return row.limit - count, count > 0 and moment_of(key, -1) + row.window - now or 0
  end
  -- Never before the newest, so that equal moments always have growing numbers.
  local at = max(now, newest)
  add(key, at, count, units)
  call('PEXPIRE', key, ceil((at + row.window - now) / 1000))
  return row.limit - count - units, at + row.window - now
end

return { look = look, charge = charge }
