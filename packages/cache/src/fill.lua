-- Stores a loaded value, unless an invalidation removed the lease since the load began.
-- KEYS[1] entry   KEYS[2] lease
-- ARGV[1] token of this flight   ARGV[2] encoded entry   ARGV[3] TTL in ms
-- Returns 1 when stored, 0 when the fill was refused
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('DEL', KEYS[2])
return 1
