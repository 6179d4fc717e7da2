-- Returns what it was given.
-- KEYS[1] any key
-- ARGV[1] any text
-- Returns the key and the text
return { KEYS[1], ARGV[1] or '' }
