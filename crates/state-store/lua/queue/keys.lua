-- Begins every script of a queue, after clock.lua or deadline.lua: the names of its keys, and functions for lists.
--
-- How a job is stored (positions from 1; numbers big-endian):
--   id      packed by the client
--   record  1 layout, 2 flags, 3 priority, 4-5 max attempts, 6-9 request, what the flags announce, payload,
--           and at the end 6 bytes: when it was pushed, in ms. Never changed.
--           flags: 1-3 unique until claimed, finished, elapsed; +4 deadline; +8 delayed; others for the client
--   state   1 status, 2-17 fence in decimal digits, 18-19 attempts, 20-26 as the record's 3-9, 27 flags,
--           28 n, n bytes worker, 2 bytes m, m bytes last error, the rest progress or result.
--           flags: +1 asked to be cancelled, +2 unique until finished, +4 has progress or a result,
--           +8 has a last error, +16 holds its key until it is claimed: replayed, and not claimed since
-- Plain jobs (no delay, no deadline, no unique key) that were pushed together are stored and leased together until one of them
-- needs more than to be completed:
--   reference      1 '\0' (no id begins with it), 2-7 when it was pushed, in ms, 8-11 its number, 12 how many jobs it held at first
--   parcel         as the client sends it (every byte of a text costs Lua time): 1-2 how many jobs it holds: n, 3-4 how long each
--                  id is, n ids, then for each 4 bytes m, m bytes record (without the time). Jobs that ended while the parcel
--                  runs still stand in it
--   parcel's lease 1-16 fence, 17-18 how many of its jobs run still, 19- worker; it ends when `leased` says. While jobs are taken
--                  out the fence begins with a letter, A for 0; while a ready parcel is divided the lease is DIVIDED. Who meets
--                  either has met a script that was cut: no other sees them
--   parcel_of      an id: the reference, or nothing. For UUIDs of version 7 (packed: 1 and 16 bytes) the family, which is the id with zeros in
--                  place of its last 6 bits, the job's number in the family: 20 bytes for each parcel with such jobs: the
--                  reference, two words of 4 bytes with a bit for each number from 0 on and from 32 on. '\0': how many jobs there
--                  are, always written with the rest. A parcel's job has no record and no state of its own, and the other way round
-- Jobs that were never claimed and are due far ahead stand on shelves, many in one string, and need no entries of their own:
--   shelf        1-2 how many jobs: n, then for each 6 bytes when it is due, in ms, 2 bytes how long its id is, 2 bytes how long
--                id and record are; then n times id, record. In the order of `due`; a shelf ends before the next one begins
--   shelves      its number (5 bytes): the shelf; a part of the hash of an id (2 bytes): an entry of 8 bytes for each job with
--                it: another part, and 4 times when it is due, plus its priority. See spot.lua
--   shelves_due  the member that the shelf's first job would have in `due`, and the number
--   meta         `shelves`: 1-6 when the first job is due, in ms, 7-12 how many jobs stand on shelves. While a script changes
--                shelves: 1-6 zero, and behind 12 the shelves as they were, see shelving.lua. Who meets that has met a script
--                that was cut, and carries it on before anything else; who only reads takes a record in `jobs` for the truth
-- The status says where a job is: r running, w waits (due if it stands there, else ready), c completed, d dead; without a
-- state it has never been claimed, and waits. The fence is that of the lease it runs under or was settled under; zero if the
-- lease ran out. A state belongs to the record beside it: a push removes what an earlier job with this id has left.
--
-- A server may die between two writes of a script. So what is written never depends on the rest being written:
--   adding: index entry, then record or state; removing: record or state, then index entry;
-- an index entry that is not confirmed by record and state means nothing, and whoever meets it drops it.
local jobs, state, due, leased, completed, dead = KEYS[1], KEYS[2], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local unique, unique_until, meta, wake = KEYS[11], KEYS[12], KEYS[13], KEYS[14]
local parcels, parcel_leases, parcel_of, shelves, shelves_due = KEYS[15], KEYS[16], KEYS[17], KEYS[18], KEYS[19]
local byte, char, sub, pack, unpack_bytes = string.byte, string.char, string.sub, struct.pack, struct.unpack
local function ready(priority) return KEYS[3 + priority] end
-- What a dead or completed job counts besides its record and state: its entries in two hashes and a sorted set.
local ENTRY = 320

-- A command with all elements of a list, in slices that fit Lua's stack (of whole pairs).
local function many(command, key, list)
  for first = 1, #list, 1000 do
    call(command, key, unpack(list, first, math.min(first + 999, #list)))
  end
end

-- The score of a sorted set's first member, or nil.
local function first_score(key)
  return tonumber(call('ZRANGE', key, 0, 0, 'WITHSCORES')[2])
end

-- Wakes one of those who wait for work.
local function news()
  if call('LLEN', wake) == 0 then call('RPUSH', wake, '1') end
end
