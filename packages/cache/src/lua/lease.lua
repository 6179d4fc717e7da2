-- Takes the leases of keys that are to be loaded. Who does not get one leaves a mark, and is told when the holder is done.
-- KEYS[1] sequence   KEYS[2..n+1] entries   KEYS[n+2..2n+1] their leases
-- ARGV[1] lifetime in ms   ARGV[2] 1 to take a lease from its holder   ARGV[3..n+2] tokens   ARGV[n+3..2n+2] the header of the entry that the caller has seen, or empty; none of them where nobody has seen any
-- Returns epoch, sequence, and for each: 1 when the lease is the caller's, 0 when another load holds it, 2 when a write does, 3 when there is another entry than the one seen
local n, lifetime, take = (#KEYS - 1) / 2, ARGV[1], ARGV[2] == '1'
local reply = { epoch(), sequence_of(KEYS[1]) }
-- A call costs more than what it does: mostly nobody has seen anything, and nothing is there.
local none = #ARGV == n + 2 and redis.call('EXISTS', unpack(KEYS, 2, n + 1)) == 0
for i = 1, n do
  local lease, token = KEYS[n + 1 + i], ARGV[i + 2]
  local seen, header = '', ''
  if not none then seen, header = ARGV[n + 2 + i] or '', redis.call('GETRANGE', KEYS[i + 1], 0, 70) end
  local result = 1
  if take then
    redis.call('SET', lease, token, 'PX', lifetime)
  elseif header ~= seen and header ~= '' then
    result = 3
  elseif not redis.call('SET', lease, token, 'NX', 'PX', lifetime) then
    local holder = redis.call('GET', lease)
    if string.sub(holder, 1, 1) == '>' then
      result = 2
    else
      result = 0
      if string.sub(holder, -1) ~= '!' then redis.call('APPEND', lease, '!') end
    end
  end
  reply[i + 2] = result
end
return reply
