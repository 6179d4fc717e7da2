-- Tells where a channel stands and what the caller has missed. Trims, although there is little to trim: a write is
-- refused by a master that has lost its replicas, and such a master must not pass for the present one.
-- KEYS[1] log, a stream whose ids are the sequence
-- ARGV[1] epoch that the caller knows   ARGV[2] last id that it has   ARGV[3] most messages kept
-- ARGV[4] most messages in one reply
-- Returns {epoch, last id, -1} when messages may be missing, else
--         {epoch, id of the last message here, 1 when more follow or 0, the payload of each message after ARGV[2]…}
redis.call('XTRIM', KEYS[1], 'MAXLEN', '~', ARGV[3])
local epoch = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')

local last, deleted = '0-0', '0-0'
local stream = redis.pcall('XINFO', 'STREAM', KEYS[1])
if not stream.err then
  for at = 1, #stream, 2 do
    if stream[at] == 'last-generated-id' then last = stream[at + 1] end
    if stream[at] == 'max-deleted-entry-id' then deleted = stream[at + 1] end
  end
elseif not string.find(stream.err, 'no such key', 1, true) then
  return stream
end

local function is_before(a, b)
  local a_ms, a_seq = string.match(a, '^(%d+)-(%d+)$')
  local b_ms, b_seq = string.match(b, '^(%d+)-(%d+)$')
  if a_ms ~= b_ms then return tonumber(a_ms) < tonumber(b_ms) end
  return tonumber(a_seq) < tonumber(b_seq)
end

if epoch ~= ARGV[1] or is_before(last, ARGV[2]) or is_before(ARGV[2], deleted) then
  return {epoch, last, -1}
end
local reply = {epoch, ARGV[2], 0}
if last ~= ARGV[2] then
  for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '(' .. ARGV[2], '+', 'COUNT', ARGV[4])) do
    reply[2] = entry[1]
    reply[#reply + 1] = entry[2][2]
  end
  -- What was deleted behind the last entry leaves nothing to read: then there is no more either.
  if #reply - 3 < tonumber(ARGV[4]) then reply[2] = last end
  if reply[2] ~= last then reply[3] = 1 end
end
return reply
