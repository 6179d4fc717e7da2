-- Leaky bucket as a queue: units leave one interval after another, and each call is told how long to wait for its own.
-- The arithmetic is the token bucket's, with the queue's places as capacity; what differs is that units wait.
-- KEYS   one a level: the moment in µs at which the queue will be empty
-- ARGV   capacity (places, the one that leaves at once included) and interval of the level's row, see decide.lua
-- Returns look: as the token bucket; charge: free places, µs until empty, µs until the caller's turn
local bucket = algorithms['token-bucket']

local function charge(key, row, now, units, empty)
  local remaining, reset = bucket.charge(key, row, now, units, empty)
  return remaining, reset, empty - now
end

return { look = bucket.look, charge = charge }
