-- Looks for changes that were accepted and are not in the source yet.
-- KEYS[1] stream   KEYS[2] pending, key → version of its newest change
-- ARGV[1..] keys
-- Returns for each the codecs and the value in a list, or nothing where none is pending
local reply = {}
for i, key in ipairs(ARGV) do
  local version = redis.call('HGET', KEYS[2], key)
  local entry = version and redis.call('XRANGE', KEYS[1], version .. '-0', version .. '-0')[1]
  local found = false
  if entry then
    local fields = entry[2]
    for f = 1, #fields, 2 do fields[fields[f]] = fields[f + 1] end
    found = { fields.c, fields.v }
  end
  reply[i] = found
end
return reply
