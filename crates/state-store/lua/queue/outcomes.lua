-- What becomes of a job that runs, by outcome: its id, its state, a time in ms, a text, and its unique
-- key or ''.
-- needs: add, attempts_of, byte, decimal, die, forget, free, has_flag, last_error, moved, now_up
-- needs: settled, sub, unpack_bytes, wait_again
local outcomes = {
  complete = function(id, s, lasting, result, key)
    if lasting == 0 then return forget(id, s, key) end
    add(moved.completed, decimal(now_up + lasting), id)
    add(moved.states, id, settled(s, 'c', sub(s, 2, 17), attempts_of(s), last_error(s), result))
    moved.alive = moved.alive - 1
    free(id, s, key)
  end,
  retry = function(id, s, after, reason, key)
    local attempts, fence = attempts_of(s), sub(s, 2, 17)
    if attempts >= unpack_bytes('>I2', s, 21) then return die(id, s, fence, reason, key) end
    wait_again(id, settled(s, 'w', fence, attempts, reason), after)
  end,
  snooze = function(id, s, after)
    wait_again(id, settled(s, 'w', sub(s, 2, 17), attempts_of(s) - 1, last_error(s)), after)
  end,
  dead = function(id, s, _, reason, key) die(id, s, sub(s, 2, 17), reason, key) end,
  release = function(id, s)
    table.insert(moved.heads[byte(s, 20)], id)
    add(moved.states, id, settled(s, 'w', sub(s, 2, 17), attempts_of(s) - 1, last_error(s)))
  end,
  cancelled = function(id, s, _, _, key) forget(id, s, key) end,
}

-- A job whose cancellation was requested does not come back.
for _, outcome in ipairs({ 'retry', 'snooze', 'release' }) do
  local come_back = outcomes[outcome]
  outcomes[outcome] = function(id, s, after, reason, key)
    if has_flag(s, 1) then return forget(id, s, key) end
    come_back(id, s, after, reason, key)
  end
end
