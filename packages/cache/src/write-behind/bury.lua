-- Copies a change that the source refuses to the dead letters, and takes its mark off, unless a newer one is pending. The
-- entry itself stays until the cache has been told: see the essay in write-behind.ts.
-- KEYS[1] stream   KEYS[2] pending, key → version of its newest change   KEYS[3] dead letters
-- ARGV[1] version   ARGV[2] cause   ARGV[3] attempts   ARGV[4] most dead letters
-- Returns 1 when it was copied, 0 when the dead letters are full, -1 when the change is not there
local id = ARGV[1] .. '-0'
local entry = redis.call('XRANGE', KEYS[1], id, id)[1]
if not entry then return -1 end
if redis.call('XLEN', KEYS[3]) >= tonumber(ARGV[4]) then return 0 end
local fields = entry[2]
for f = 1, #fields, 2 do fields[fields[f]] = fields[f + 1] end
redis.call('XADD', KEYS[3], '*', 'k', fields.k, 'c', fields.c, 'n', fields.n, 'v', fields.v, 'version', ARGV[1], 'cause', ARGV[2], 'attempts', ARGV[3])
if redis.call('HGET', KEYS[2], fields.k) == ARGV[1] then redis.call('HDEL', KEYS[2], fields.k) end
return 1
