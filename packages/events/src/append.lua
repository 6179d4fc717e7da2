-- Appends events to a stream, unless this server's history is not the one the caller knows.
-- A history is told by the master's replication id (it changes with every failover and restart) and by the
-- stream's last id (which goes backwards when the stream was deleted). Without events it only looks.
-- KEYS[1] the stream
-- ARGV[1] replication id that the caller knows   ARGV[2] last stream id that it knows
-- ARGV[3] number of fields and values of each event   ARGV[4…] these, one event after another
-- Returns {0, replication id, last stream id} when the history is another and nothing was appended,
--         else {1, replication id, ids of the new entries…}

local replication_id = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')

local last = '0-0'
local stream = redis.pcall('XINFO', 'STREAM', KEYS[1])
if not stream.err then
  for i = 1, #stream, 2 do
    if stream[i] == 'last-generated-id' then last = stream[i + 1] end
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

if replication_id ~= ARGV[1] or is_before(last, ARGV[2]) then
  return {0, replication_id, last}
end

local reply = {1, replication_id}
local width = tonumber(ARGV[3])
for first = 4, #ARGV, width do
  reply[#reply + 1] = redis.call('XADD', KEYS[1], '*', unpack(ARGV, first, first + width - 1))
end
return reply
