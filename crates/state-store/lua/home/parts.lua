-- The parts of a commit that are not of its queue. Each is read from ARGV[at] on, checked, and its
-- writes are collected. Each returns its answer, whether that is no refusal, and where ARGV
-- continues.
-- needs: end_step, of_kind, read_write, save_token, write_run

local parts = {
  -- layouts, margin (ms), name, attempt, `r` or `s`, TTL (ms), output: see step/finish.lua
  s = function(key, at)
    of_kind(ARGV[at])
    local margin, name, attempt, of, ttl, output = unpack(ARGV, at + 1, at + 6)
    local answer = end_step(key, name, attempt, of == 'r', ttl, 'd', output, tonumber(margin))
    return answer, answer == 'recorded', at + 7
  end,
  -- layouts, margin (ms), bytes of events that are kept, then as in run/write.lua
  r = function(key, at)
    of_kind(ARGV[at])
    local write, behind = read_write(at + 3)
    local answer = write_run(key, write, tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]))
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
}
