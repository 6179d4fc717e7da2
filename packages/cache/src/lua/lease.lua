-- Takes the leases of keys that are to be loaded. Who does not get one leaves a mark, and is told when the holder is done.
-- KEYS[1] sequence   KEYS[2..] entry and lease of each
-- ARGV[1] lifetime in ms   ARGV[2] 1 to take a lease from its holder   ARGV[3..] of each: token, and the header of the entry that the caller has seen, or empty
-- Returns epoch, sequence, and for each: 1 when the lease is the caller's, 0 when another load holds it, 2 when a write does, 3 when there is another entry than the one seen
local reply = { epoch(), sequence_of(KEYS[1]) }
-- A call costs more than what it does: mostly nobody has seen anything, and nothing is there.
local unseen = {}
for i = 2, #KEYS, 2 do
  if ARGV[i + 2] == '' then unseen[#unseen + 1] = KEYS[i] end
end
local none = #unseen > 0 and redis.call('EXISTS', unpack(unseen)) == 0
for i = 2, #KEYS, 2 do
  local entry, lease, token, seen = KEYS[i], KEYS[i + 1], ARGV[i + 1], ARGV[i + 2]
  local header = seen == '' and none and '' or redis.call('GETRANGE', entry, 0, 70)
  if ARGV[2] == '1' then
    redis.call('SET', lease, token, 'PX', ARGV[1])
    reply[#reply + 1] = 1
  elseif header ~= seen and header ~= '' then
    reply[#reply + 1] = 3
  elseif redis.call('SET', lease, token, 'NX', 'PX', ARGV[1]) then
    reply[#reply + 1] = 1
  else
    local holder = redis.call('GET', lease)
    if string.sub(holder, 1, 1) == '>' then
      reply[#reply + 1] = 2
    else
      if string.sub(holder, -1) ~= '!' then redis.call('APPEND', lease, '!') end
      reply[#reply + 1] = 0
    end
  end
end
return reply
