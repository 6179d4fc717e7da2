-- Token bucket, as GCRA (ITU-T I.371): one number, the moment at which the bucket will be full again. A unit moves
-- it on by the interval between two units; a call is refused that would move it past a full bucket's worth of intervals.
-- KEYS   one a level: that moment in µs, rounded so that the rate is never above the one promised
-- ARGV   capacity (burst) and window / limit (interval) of the level's row, see decide.lua
-- Returns look: µs to wait (0: enough is there), units there, µs until full, state; charge: units there, µs until full
local function look(key, row, now)
  local full = tonumber(call('GET', key)) or now
  if full < now then full = now end
  -- A clock that went back in a failover, or a limit that shrank, costs one full bucket at most.
  local latest = now + row.span
  if full > latest then full = latest end
  local wait = full + row.required_span - latest
  if wait < 0 or row.need <= 0 then wait = 0 end
  return wait, floor((latest - full) / row.interval), full - now, full
end

local function charge(key, row, now, units, full)
  local interval = row.interval
  full = full + units * interval
  local used = full - now
  if used <= 0 then
    call('DEL', key)
    return row.capacity, 0
  end
  -- The TTL in eighths of a full bucket: their texts are kept, since making one costs more than the arithmetic.
  local eighths = floor(8 * used / row.span) + 1
  local ttl = row.ttls[eighths]
  if not ttl then
    ttl = format('%d', ceil(row.span / 8000 * eighths))
    row.ttls[eighths] = ttl
  end
  call('SET', key, format('%d', full), 'PX', ttl)
  return floor((row.span - used) / interval), used
end

return { look = look, charge = charge }
