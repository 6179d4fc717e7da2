-- Is an earlier entry of the same subject delivered to the group and not acknowledged?
-- KEYS[1] the stream
-- ARGV[1] group   ARGV[2] entry id   ARGV[3] subject
-- Returns 1 or 0

local from = '-'
repeat
  local pending = redis.call('XPENDING', KEYS[1], ARGV[1], from, '(' .. ARGV[2], 100)
  for _, item in ipairs(pending) do
    from = '(' .. item[1]
    local entry = redis.call('XRANGE', KEYS[1], item[1], item[1])[1]
    local fields = entry and entry[2] or {}
    for i = 1, #fields, 2 do
      if fields[i] == 'subject' and fields[i + 1] == ARGV[3] then return 1 end
    end
  end
until #pending < 100
return 0
