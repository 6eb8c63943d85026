#!lua
-- link/runs: the smallest script, which shows that the server runs scripts.
-- KEYS    none
-- ARGV    none
-- Returns {'runs'}
-- Retry   changes nothing
-- Cost    O(1)
return {'runs'}
