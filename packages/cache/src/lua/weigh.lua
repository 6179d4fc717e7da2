-- Weighs a part of a namespace, and removes those of its entries that are colder than asked for.
-- KEYS none: it walks over the keys of one node, and touches those that begin with the prefix
-- ARGV[1] cursor of SCAN   ARGV[2] how many keys to look at   ARGV[3] prefix   ARGV[4] FREQ or IDLETIME
-- ARGV[5] entries below this level go   ARGV[6] and this share, from 0 to 1, of those at the level
-- ARGV[7] seed   ARGV[8..] kinds whose entries may go
-- Returns the cursor, removed entries and bytes, keys that stay, the bytes of those that are no entries, then level and bytes of the entries of each level
local prefix, measure = ARGV[3], ARGV[4]
local level, share = tonumber(ARGV[5]), tonumber(ARGV[6])
math.randomseed(tonumber(ARGV[7]))
local kinds = {}
for i = 8, #ARGV do kinds[ARGV[i]] = true end

-- None of these commands counts as a use of the key.
local function level_of(key)
  local value = redis.pcall('OBJECT', measure, key)
  if type(value) ~= 'number' then return nil end
  if measure == 'FREQ' then return value end
  return 255 - math.min(255, math.floor(16 * math.log(1 + value) / math.log(2)))
end

local removed, freed, keys, others = 0, 0, 0, 0
local bytes = {}
local reply = redis.call('SCAN', ARGV[1], 'MATCH', prefix .. '*', 'COUNT', ARGV[2])
for _, key in ipairs(reply[2]) do
  local kind = string.match(key, '^([%w-]+)@%d+:', #prefix + 1)
  local is_entry = kinds[kind] and not string.find(key, ':~lease', 1, true)
  local own = is_entry and level_of(key)
  -- Each by itself: a sample of sizes that differ much says little of their sum.
  local size = redis.call('MEMORY', 'USAGE', key) or 0
  if own and (own < level or (own == level and math.random() < share)) then
    freed = freed + size
    removed = removed + redis.call('UNLINK', key)
  else
    keys = keys + 1
    if own then
      bytes[own] = (bytes[own] or 0) + size
    else
      others = others + size
    end
  end
end
local result = { reply[1], removed, freed, keys, others }
for own, sum in pairs(bytes) do
  result[#result + 1] = own
  result[#result + 1] = sum
end
return result
