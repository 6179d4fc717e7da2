-- Decides calls, one after another: each is allowed when all its levels have the units it needs, and then charged on
-- all of them, else on none. Time is the server's. The algorithms of a level are the files beside this one.
-- KEYS      the levels' keys, call by call
-- ARGV[1]   number of rows, each of eight values that say what to do at a level: algorithm, limit, window in µs,
--           capacity, units needed, units to charge at most, units that must stay, moment of the charge to take back
-- ARGV[2…]  the rows, then for each key the number of its row, negative at the last level of a call
-- Returns {now in µs, then for each call: 1 (allowed), 0 (refused) or -1 (a key holds something else), and for each of its levels: units remaining,
--          µs until full, µs to wait (where refused: for the units; where allowed: for its turn), units charged}
local time = call('TIME')
local now = time[1] * 1000000 + time[2]

local rows = {}
local argument = 2
for r = 1, tonumber(ARGV[1]) do
  local row = {
    limit = tonumber(ARGV[argument + 1]),
    window = tonumber(ARGV[argument + 2]),
    capacity = tonumber(ARGV[argument + 3]),
    need = tonumber(ARGV[argument + 4]),
    most = tonumber(ARGV[argument + 5]),
    reserve = tonumber(ARGV[argument + 6]),
    charged_at = tonumber(ARGV[argument + 7]),
  }
  row.look, row.charge = algorithms[ARGV[argument]].look, algorithms[ARGV[argument]].charge
  row.required = row.need + row.reserve
  row.interval = ceil(row.window / row.limit)
  row.span = row.capacity * row.interval
  row.required_span = row.required * row.interval
  rows[r] = row
  argument = argument + 8
end

-- Units to charge where it may be more than are needed.
local function units_of(row, available)
  return max(row.need, min(row.most, available - row.reserve))
end

local reply = { now }
local waits, there, resets, a, b, c = {}, {}, {}, {}, {}, {}

-- Decides the call whose levels are the keys from `first` to `last`, and writes the verdict from `at` on.
local function decide(first, last, at, levels)
  local allowed = 1
  for k = first, last do
    waits[k], there[k], resets[k], a[k], b[k], c[k] = levels[k].look(KEYS[k], levels[k], now)
    if waits[k] > 0 then allowed = 0 end
  end
  reply[at] = allowed
  for k = first, last do
    local row = levels[k]
    local remaining, reset, wait, units = there[k], resets[k], waits[k], 0
    if allowed == 1 then
      units = row.most
      if units > row.need then units = units_of(row, remaining) end
      if units ~= 0 then
        remaining, reset, wait = row.charge(KEYS[k], row, now, units, a[k], b[k], c[k])
      end
    end
    reply[at + 1] = max(0, remaining - row.reserve)
    reply[at + 2] = reset
    reply[at + 3] = wait or 0
    reply[at + 4] = units
    at = at + 4
  end
end

-- The same for a call of one level, which most are, without the lists.
local function decide_one(_, k, at, levels)
  local row = levels[k]
  local wait, remaining, reset, a, b, c = row.look(KEYS[k], row, now)
  local units = 0
  reply[at] = 0
  if wait == 0 then
    reply[at] = 1
    units = row.most
    if units > row.need then units = units_of(row, remaining) end
    if units ~= 0 then
      remaining, reset, wait = row.charge(KEYS[k], row, now, units, a, b, c)
    end
  end
  remaining = remaining - row.reserve
  reply[at + 1] = remaining > 0 and remaining or 0
  reply[at + 2] = reset
  reply[at + 3] = wait or 0
  reply[at + 4] = units
end

local levels = {}
local size, first = 1, 1
for k = 1, #KEYS do
  local number = tonumber(ARGV[argument])
  argument = argument + 1
  levels[k] = rows[math.abs(number)]
  if number < 0 then
    -- A key that somebody else wrote must not spoil the calls beside it.
    local decide_call = first == k and decide_one or decide
    if not pcall(decide_call, first, k, size + 1, levels) then
      reply[size + 1] = -1
      for value = size + 2, size + 1 + 4 * (k - first + 1) do reply[value] = 0 end
    end
    size = size + 1 + 4 * (k - first + 1)
    first = k + 1
  end
end
return reply
