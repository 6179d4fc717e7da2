-- Decides calls, one after another: each is allowed when all its levels have the units it needs, and then charged on
-- all of them, else on none. Time is the server's. The algorithms of a level are the files beside this one.
-- KEYS      the levels' keys, call by call
-- ARGV[1]   number of rows, each of eight values that say what to do at a level: algorithm, limit, window in µs,
--           capacity, units needed, units to charge at most, units that must stay, moment of the charge to take back
-- ARGV[2…]  the rows, then for each key the number of its row, negative at the last level of a call; fewer numbers than
--           keys repeat, for calls that are all alike
-- Returns {now in µs, then for each call: 1 (allowed), 0 (refused) or -1 (a key holds something else), and for each
--          of its levels: units remaining, µs until full, µs to wait (where refused: for the units; where allowed:
--          for its turn; where more may be charged than is needed: the units charged)}
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
  row.ttls = {}
  rows[r] = row
  argument = argument + 8
end

-- Units to charge where it may be more than are needed.
local function units_of(row, available)
  return max(row.need, min(row.most, available - row.reserve))
end

local reply = { now }
local levels = {}

-- Looks at the levels from `k` to `last`, each within the one before it, and charges them on the way back if all agree.
-- Writes what they say from `at` on; returns whether the call is allowed.
local function decide(k, last, at, allowed)
  local row = levels[k]
  local wait, remaining, reset, a, b, c = row.look(KEYS[k], row, now)
  if wait > 0 then allowed = 0 end
  if k < last then allowed = decide(k + 1, last, at + 3, allowed) end
  if allowed == 1 then
    local units = row.most
    if units > row.need then units = units_of(row, remaining) end
    if units ~= 0 then
      remaining, reset, wait = row.charge(KEYS[k], row, now, units, a, b, c)
    end
    if row.most > row.need then wait = units end
  end
  remaining = remaining - row.reserve
  reply[at] = remaining > 0 and remaining or 0
  reply[at + 1] = reset
  reply[at + 2] = wait or 0
  return allowed
end

local steps, ends = {}, {}
local count = 0
for step = argument, #ARGV do
  local number = tonumber(ARGV[step])
  count = count + 1
  steps[count] = rows[number < 0 and -number or number]
  ends[count] = number < 0
end

local at, first, step = 2, 1, 0
for k = 1, #KEYS do
  step = step < count and step + 1 or 1
  levels[k] = steps[step]
  if ends[step] then
    reply[at] = 1
    -- A key that somebody else wrote must not spoil the calls beside it.
    local decided, allowed = pcall(decide, first, k, at + 1, 1)
    if not decided then
      allowed = -1
      for value = at + 1, at + 3 * (k - first + 1) do reply[value] = 0 end
    end
    reply[at] = allowed
    at = at + 1 + 3 * (k - first + 1)
    first = k + 1
  end
end
return reply
