-- Fixed window: counts units until the window ends, then from zero. A window begins with its first unit.
-- KEYS   one a level: '<end of the window in µs>:<units>'
-- ARGV   limit and window of the level's row, see decide.lua
-- Returns look: µs to wait (0: enough is there), units there, µs until the window ends, state; charge: units there, µs
local function look(key, row, now)
  local ends, count = string.match(call('GET', key) or '', '^(%d+):(%d+)$')
  ends, count = tonumber(ends), tonumber(count)
  -- One that ends too late was begun by a server whose clock was ahead.
  if not ends or ends <= now or ends - now > row.window then
    ends, count = now + row.window, 0
  end
  local wait = 0
  if row.need > 0 and count + row.required > row.limit then wait = ends - now end
  return wait, row.limit - count, count > 0 and ends - now or 0, ends, count
end

local function charge(key, row, now, units, ends, count)
  local belongs = units >= 0 or row.charged_at > ends - row.window - 1
  if belongs then
    count = max(0, count + units)
    call('SET', key, format('%d:%d', ends, count), 'PX', ceil((ends - now) / 1000))
  end
  return row.limit - count, ends - now
end

return { look = look, charge = charge }
