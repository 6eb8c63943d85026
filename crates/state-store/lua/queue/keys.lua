-- Prelude of every script of a queue: the names of its keys, and functions for lists.
-- docs/layout.md describes every stored form.
-- KEYS    1 jobs (hash), 2 state (hash), 3-6 ready0-3 (lists), 7 due, 8 leased, 9 completed,
--         10 dead (sorted sets), 11 unique (hash), 12 unique_until (sorted set), 13 meta (hash),
--         14 waiters (hash)
local jobs, state, due, leased = KEYS[1], KEYS[2], KEYS[7], KEYS[8]
local completed, dead, unique, unique_until = KEYS[9], KEYS[10], KEYS[11], KEYS[12]
local meta, waiters = KEYS[13], KEYS[14]
local byte, char, sub = string.byte, string.char, string.sub
local pack, unpack_bytes = struct.pack, struct.unpack

local function ready(priority) return KEYS[3 + priority] end

local function add(list, first, second)
  local at = #list
  list[at + 1], list[at + 2] = first, second
end

-- The score of the first member of a sorted set, or nil.
local function first_score(key) return tonumber(call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]) end
