#!lua flags=allow-oom
-- Removes entries and the leases of their loads, moves tags and generations, and tells every process.
-- KEYS[1] sequence   KEYS[2] log   KEYS[3] generations   KEYS[4] index of tags   KEYS[5..] entries and leases, then tags
-- ARGV[1] target   ARGV[2] payload   ARGV[3] number of entries and leases   ARGV[4] number of tags to delete; the others expire
-- ARGV[5] JSON {"g": kinds whose generation moves, "f": kinds whose loads in flight are void}, or empty
-- Returns epoch and sequence
local now, sequence = announce(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
local removed, deleted = tonumber(ARGV[3]), tonumber(ARGV[4])
if removed > 0 then redis.call('UNLINK', unpack(KEYS, 5, 4 + removed)) end

-- A tag is "<sequence of its last deletion>:<sequence of its last deletion or expiry>".
if #KEYS > 4 + removed then
  local seconds = redis.call('TIME')[1]
  for i = 5 + removed, #KEYS do
    local deletion = sequence
    if i > 4 + removed + deleted then
      deletion = string.match(redis.call('GET', KEYS[i]) or '', '^(%d+):') or '0'
    end
    redis.call('SET', KEYS[i], deletion .. ':' .. sequence)
    redis.call('ZADD', KEYS[4], seconds, KEYS[i])
  end
end

-- Generations: {"<kind, or * for all>": ["<sequence of its last move>", "<sequence of its last fence>"]}.
if ARGV[5] ~= '' then
  local change = cjson.decode(ARGV[5])
  local generations = cjson.decode(redis.call('GET', KEYS[3]) or '{}')
  for _, kind in ipairs(change.g) do generations[kind] = { sequence, sequence } end
  for _, kind in ipairs(change.f) do
    generations[kind] = { generations[kind] and generations[kind][1] or '0', sequence }
  end
  redis.call('SET', KEYS[3], cjson.encode(generations))
end
return { now, sequence }
