-- Drops the entries of a stream that are older than asked and that every group has acknowledged.
-- An entry that some group has not acknowledged stays, however old; so does everything behind it. A stream without
-- groups is trimmed by age alone.
-- KEYS[1] the stream
-- ARGV[1] age in milliseconds up to which entries stay
-- Returns {number of entries dropped, id from which on entries stay, name of the group that holds it or ''}

local function parts(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end
local function is_before(a, b)
  local a_ms, a_seq = parts(a)
  local b_ms, b_seq = parts(b)
  return a_ms < b_ms or (a_ms == b_ms and a_seq < b_seq)
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
  local unacknowledged = group['last-delivered-id']
  if group['pending'] > 0 then unacknowledged = redis.call('XPENDING', KEYS[1], group['name'])[2] end
  if is_before(unacknowledged, keep) then
    keep, holder = unacknowledged, group['name']
  end
end
return {redis.call('XTRIM', KEYS[1], 'MINID', '~', keep), keep, holder}
