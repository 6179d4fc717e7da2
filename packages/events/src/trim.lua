-- Drops the entries of a stream that are older than asked and that every group has acknowledged.
-- An entry that some group has not acknowledged stays, however old; so does everything behind it. A stream without
-- groups is trimmed by age alone.
-- KEYS[1] the stream
-- ARGV[1] age in milliseconds up to which entries stay
-- Returns {number of entries dropped, id from which on entries stay, name of the group that holds it there or ''}

local function is_before(a, b)
  local a_ms, a_seq = string.match(a, '^(%d+)-(%d+)$')
  local b_ms, b_seq = string.match(b, '^(%d+)-(%d+)$')
  if a_ms ~= b_ms then return tonumber(a_ms) < tonumber(b_ms) end
  return tonumber(a_seq) < tonumber(b_seq)
end

local function first_unacknowledged(group)
  if group['pending'] > 0 then
    return redis.call('XPENDING', KEYS[1], group['name'])[2]
  end
  local next = redis.call('XRANGE', KEYS[1], '(' .. group['last-delivered-id'], '+', 'COUNT', 1)[1]
  return next and next[1]
end

local groups = redis.pcall('XINFO', 'GROUPS', KEYS[1])
if groups.err then
  if string.find(groups.err, 'no such key', 1, true) then return {0, '0-0', ''} end
  return groups
end

local now = redis.call('TIME')
local oldest = math.max(0, tonumber(now[1]) * 1000 - tonumber(ARGV[1]))
local keep, holder = string.format('%.0f-0', oldest), ''
for _, flat in ipairs(groups) do
  local group = {}
  for i = 1, #flat, 2 do group[flat[i]] = flat[i + 1] end
  local first = first_unacknowledged(group)
  if first and is_before(first, keep) then
    keep, holder = first, group['name']
  end
end
return {redis.call('XTRIM', KEYS[1], 'MINID', '~', keep), keep, holder}
