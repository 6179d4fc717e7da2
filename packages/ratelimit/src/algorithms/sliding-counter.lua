-- Sliding window counter: the units of the present window and, of the one before, the share that a sliding window
-- would still cover if they had come evenly. Two numbers, whatever the limit.
-- KEYS   one a level: '<number of the window>:<units in it>:<units in the one before>'
-- ARGV   limit and window of the level's row, see decide.lua
-- Returns look: µs to wait (0: enough is there), units there, µs until all is forgotten, state; charge: units there, µs
local function read(key, row, now)
  local index = floor(now / row.window)
  local at, current, previous = string.match(call('GET', key) or '', '^(%d+):(%d+):(%d+)$')
  at, current, previous = tonumber(at), tonumber(current), tonumber(previous)
  if not at or at < index - 1 or at > index + 1 then return index, 0, 0 end
  if at == index - 1 then return index, 0, current end
  -- A clock that went back a little: the later window has begun already.
  return at, current, previous
end

local function state_of(row, now, at, current, previous)
  local elapsed = max(0, now - at * row.window)
  local weighted = previous * (row.window - elapsed) / row.window
  local reset = 0
  if current > 0 then
    reset = 2 * row.window - elapsed
  elseif previous > 0 then
    reset = row.window - elapsed
  end
  return floor(row.limit - weighted - current), reset, elapsed
end

-- When `units` more than `current` fit beside the fading `fading`: µs of the window that must have passed.
local function fits_after(row, fading, current, units)
  local room = row.limit - units - current
  if room >= fading then return 0 end
  return ceil(row.window * (1 - max(0, room) / fading))
end

local function look(key, row, now)
  local at, current, previous = read(key, row, now)
  local available, reset, elapsed = state_of(row, now, at, current, previous)
  local wait = 0
  if row.need > 0 and row.required > available then
    if row.required + current <= row.limit then
      wait = fits_after(row, previous, current, row.required) - elapsed
    else
      wait = row.window - elapsed + fits_after(row, current, 0, row.required)
    end
    if wait < 1 then wait = 1 end
  end
  return wait, available, reset, at, current, previous
end

local function charge(key, row, now, units, at, current, previous)
  if units >= 0 or row.charged_at >= at * row.window then
    current = max(0, current + units)
  elseif row.charged_at >= (at - 1) * row.window then
    previous = max(0, previous + units)
  end
  local available, reset = state_of(row, now, at, current, previous)
  if reset > 0 then
    call('SET', key, format('%d:%d:%d', at, current, previous), 'PX', ceil(reset / 1000))
  else
    call('DEL', key)
  end
  return available, reset
end

return { look = look, charge = charge }
