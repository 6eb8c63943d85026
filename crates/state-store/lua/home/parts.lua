-- The parts of a commit that are not of its queue. Each is read from ARGV[at] on, checked, and its
-- writes are collected. Each returns its answer, whether that is no refusal, and where ARGV
-- continues.
-- needs: any, end_step, of_kind, push_time, save_token, write_run

local parts = {
  -- layouts, margin (ms), name, attempt, `r` or `s`, TTL (ms), output: see step/finish.lua
  s = function(key, at)
    of_kind(ARGV[at])
    local margin, name, attempt, of, ttl, output = unpack(ARGV, at + 1, at + 6)
    local answer = end_step(key, name, attempt, of == 'r', ttl, 'd', output, tonumber(margin))
    return answer, answer == 'recorded', at + 7
  end,
  -- layouts, margin (ms), bytes of events that are kept, request, how long the call is remembered
  -- (ms), version, sequence, fence (each may be ''), states in which it is legal, the new state or
  -- '', the kind of the event of a transition, '1' if it ends, number of payloads and events,
  -- number of payloads, then these
  r = function(key, at)
    of_kind(ARGV[at])
    local margin, most_bytes = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
    local request, remembered, version, sequence, fence, from, to, name, _, n_pairs, n_payloads
      = unpack(ARGV, at + 3, at + 13)
    local function in_digits(text) return text == '' and any or string.format('%016d', text) end
    local numbers = n_payloads .. string.format('%02d%010d', n_pairs - n_payloads, remembered)
    -- As run/write.lua takes it, and what follows it.
    local words = request .. in_digits(version) .. in_digits(sequence) .. in_digits(fence)
      .. (to == '' and '-' or to) .. numbers .. from .. string.rep('-', 7 - #from) .. name
    local behind = at + 14 + 2 * n_pairs
    local list = {words, unpack(ARGV, at + 14, behind - 1)}
    local answer = write_run(key, list, 1, margin, most_bytes)
    return answer, answer[1] == 'done', behind
  end,
  -- layouts, how long a record without a lasting token is kept (ms), then as in
  -- resume_token/save.lua
  t = function(key, at)
    of_kind(ARGV[at])
    local kept, fence, expected, request, ttl, token = unpack(ARGV, at + 1, at + 6)
    local answer = save_token(key, fence, expected, request, tonumber(ttl), tonumber(kept), token)
    return answer, answer[1] == 'saved', at + 7
  end,
  -- The last part: entries of the outbox, as single jobs that are ready (see push_singles.lua).
  -- Their number, then for each: packed id, record. Its keys are the last ones.
  o = function(_, at)
    local entries, states, list, counters = unpack(KEYS, #KEYS - 3)
    local n, ids, new, records = tonumber(ARGV[at]), {}, {}, {}
    for i = 1, n do ids[i] = ARGV[at + 2 * i - 1] end
    -- A copy that was interrupted may have recorded some.
    for i, found in ipairs(call('HMGET', entries, unpack(ids))) do
      if not found then
        new[#new + 1] = ids[i]
        add(records, ids[i], ARGV[at + 2 * i] .. push_time)
      end
    end
    if new[1] then
      call('HSET', counters, 'shape', ARGV[2])
      call('HDEL', states, unpack(new))
      call('RPUSH', list, unpack(new))
      call('HSET', entries, unpack(records))
      call('HINCRBY', counters, 'alive', #new)
    end
    return { 'recorded' }, true, at + 1 + 2 * n
  end,
}
