-- Fast path of a commit: a single job is just complete, no part is refused or may be a repetition,
-- nothing is recorded in the outbox, and no worker waits for jobs. Otherwise nothing is written
-- here. It is one block without functions: each function that the script creates costs as much as a
-- command.
repeat
  if is_repeat or interrupted or ARGV[6] ~= 'complete' or ARGV[7] ~= '0'
    or string.find(ARGV[9], 'o', 1, true) then
    break
  end
  local own, is_plain, now_text = sub(ARGV[5], 17), true, string.format('%015d', now)
  if tonumber(call('ZSCORE', leased, own) or 0) <= now then break end

  -- The jobs that are pushed: their ids, these and the batches that might contain them, their
  -- records, unique keys, ids of each priority, and those that are due later.
  local ids, others, records, holds, tails, dues = { own }, { own }, {}, {}, {}, {}
  for at = tonumber(ARGV[10]), #ARGV, 3 do
    local id, record, delay = ARGV[at], ARGV[at + 1], ARGV[at + 2]
    local flags, priority = byte(record, 2, 3)
    if flags % 4 > 0 then
      local key_at = flags % 8 > 3 and 16 or 10
      local key = sub(record, key_at + 1, key_at + byte(record, key_at))
      local entry = call('HGET', unique, key)
      is_plain = is_plain and flags % 4 < 3 and (not entry or entry == 'f' .. own)
      for i = 1, #holds, 2 do is_plain = is_plain and holds[i] ~= key end
      add(holds, key, (flags % 4 == 1 and 'c' or 'f') .. id)
    end
    for i = 1, #ids do is_plain = is_plain and ids[i] ~= id end
    ids[#ids + 1], others[#others + 1] = id, id
    if byte(id) == 1 and math.floor(byte(id, 8) / 16) == 8 then
      others[#others + 1] = '\2' .. sub(id, 2, 16) .. char(byte(id, 17) - byte(id, 17) % 64)
    end
    if delay ~= '' then
      add(dues, decimal(now_up + delay), priority .. id)
    elseif tails[priority] then
      table.insert(tails[priority], id)
    else
      tails[priority] = { id }
    end
    add(records, id, record .. pack('>I6', now_up))
  end
  local stored, states = call('HMGET', jobs, unpack(ids)), call('HMGET', state, unpack(others))
  for i = 2, #others do is_plain = is_plain and not (stored[i] or states[i]) end
  if not is_plain or not stored[1]
    or sub(states[1] or '', 1, 17) ~= 'r' .. sub(ARGV[5], 1, 16)
    or (ids[2] and call('EXISTS', waiters) == 1) then
    break
  end
  local reply, number, at = { 'committed', 'done', {} }, 15, 11

  local step, step_key, step_for
  if string.find(ARGV[9], 's', 1, true) then
    local layouts, margin, name, attempt, of, ttl, output = unpack(ARGV, at, at + 6)
    number, at, step_key = number + 1, at + 7, KEYS[number + 1]
    local field, written = 's' .. name, sub(layouts, -1)
    local found = redis.pcall('HMGET', step_key, 'run', field)
    local head, entry = found[1], found[2]
    if not head or not entry or #entry < 75 or string.find(sub(entry, 3, 75), '%D')
      or not string.find(head, '^%d+$') then
      break
    end
    local layout_of, till, latest, steps_at = unpack_bytes('c1c15c16', head)
    local begin, times = unpack_bytes('c18c36', entry)
    if of ~= 'r' then latest = '0000000000000000' end
    if layout_of ~= written or begin ~= written .. 'r' .. attempt or till <= now_text
      or attempt < latest then
      break
    end
    local lasts = string.format('%015d', now_up + ttl)
    if lasts < till then lasts = till end
    step_for = lasts - now + margin
    step = { 'run', written .. lasts .. latest .. sub(head, steps_at), field, written .. 'd'
      .. attempt .. times .. now_text .. string.format('%06d', #output) .. sub(entry, 76),
      'o' .. name, output }
    reply[4] = 'recorded'
  end

  local run, run_key, run_for
  if string.find(ARGV[9], 'r', 1, true) then
    local layouts, margin, most_bytes, request, _, expected, sequence, fence, from, to, name, ends,
      n_pairs, n_payloads = unpack(ARGV, at, at + 13)
    number, run_key = number + 1, KEYS[number + 1]
    local written, head = sub(layouts, -1), redis.pcall('HGET', run_key, 'run')
    if type(head) ~= 'string' or #head < 174 or string.find(sub(head, 3, 155), '%D') then break end
    local layout_of, letter, version, created, updated, ended, till, lasting, last_of, first,
      behind, bytes, most, last, names_at
      = unpack_bytes('c1c1c16c16c15c15c15c15c16c16c16c8c5c16', head)
    if layout_of ~= written or till <= now_text or request == last
      or not string.find(from, letter, 1, true)
      or (expected ~= '' and expected - version ~= 0) or (sequence ~= '' and sequence - behind ~= 0)
      or (fence ~= '' and fence < last_of) then
      break
    end
    local is_transition, stamp = to ~= '' and to ~= letter, written .. now_text .. request
    run, behind, bytes = { 'run', head }, tonumber(behind), tonumber(bytes)
    for pair = 1, is_transition and n_pairs + 1 or tonumber(n_pairs) do
      local field, value = name, ''
      if pair <= tonumber(n_pairs) then
        field, value = ARGV[at + 12 + 2 * pair], ARGV[at + 13 + 2 * pair]
      end
      if pair > tonumber(n_payloads) then
        value = stamp .. string.format('%02d', #field) .. field .. value
        field = 'e' .. decimal(behind)
        behind, bytes = behind + 1, bytes + #value
      end
      add(run, field, value)
    end
    -- Otherwise the oldest events are removed.
    if behind - first > tonumber(most) or bytes > tonumber(most_bytes) then break end
    if to ~= '' or n_payloads ~= '0' then
      version = string.format('%016d', math.max(micros, version + 1))
      updated, last = now_text, request
    end
    if is_transition then letter = to end
    if is_transition and ends == '1' then ended = updated end
    if fence > last_of then last_of = fence end
    local lasts = string.format('%015d', now_up + lasting)
    if lasts < till then lasts = till end
    run_for, at = lasts - now + margin, at + 14 + 2 * n_pairs
    run[2] = written .. letter .. version .. created .. updated .. ended .. lasts .. lasting
      .. last_of .. first .. string.format('%016d%08d', behind, bytes) .. most .. last
      .. sub(head, names_at)
    reply[#reply + 1] = { 'done', run[2] }
  end

  local token, token_key, token_for
  if string.find(ARGV[9], 't', 1, true) then
    local layouts, kept, fence, expected, request, ttl, text = unpack(ARGV, at, at + 6)
    token_key = KEYS[number + 1]
    local written, version, till = sub(layouts, -1), micros, ttl == '0' and 0 or now_up + ttl
    local head = redis.pcall('GETRANGE', token_key, '0', '84')
    if head ~= '' then
      if type(head) ~= 'string' or #head ~= 85 or string.find(sub(head, 3, 69), '%D') then break end
      local begin, last_of, saved, _, last = unpack_bytes('c2c16c16c35c16', head)
      if begin ~= written .. 't' or fence < last_of or expected ~= saved or request == last then
        break
      end
      version = math.max(micros, expected + 1)
    elseif expected ~= '' then
      break
    end
    token = written .. 't' .. fence .. string.format('%016d', version) .. now_text
      .. string.format('%015d%05d', till, #text) .. request .. text
    token_for = till > 0 and ttl + kept
    reply[#reply + 1] = { 'saved', tonumber(fence), version, now, till, now, #text }
  end

  -- Unique key, index entry, record: see push_singles.lua.
  if holds[1] then call('HSET', unique, unpack(holds)) end
  for priority, tail in pairs(tails) do call('RPUSH', KEYS[3 + priority], unpack(tail)) end
  if dues[1] then call('ZADD', due, unpack(dues)) end
  if records[1] then call('HSET', jobs, unpack(records)) end
  if step then
    call('HSET', step_key, unpack(step))
    call('PEXPIRE', step_key, step_for)
  end
  if run then
    call('HSET', run_key, unpack(run))
    call('PEXPIRE', run_key, run_for)
  end
  if token_for then
    call('SET', token_key, token, 'PX', token_for)
  elseif token then
    call('SET', token_key, token)
  end
  -- Last, and its removal of the record first: until then the job is delivered again.
  call('HDEL', jobs, own)
  call('HDEL', state, own)
  local flags = byte(stored[1], 2)
  if flags % 4 == 2 then
    local key_at = flags % 8 > 3 and 16 or 10
    local key = sub(stored[1], key_at + 1, key_at + byte(stored[1], key_at))
    local is_taken = false
    for i = 1, #holds, 2 do is_taken = is_taken or holds[i] == key end
    if not is_taken and call('HGET', unique, key) == 'f' .. own then call('HDEL', unique, key) end
  end
  call('ZREM', leased, own)
  call('HSET', meta, 'alive', (n_alive or 0) + #ids - 2, 'running', (n_running or 0) - 1)
  if dues[1] then call('HSET', meta, 'scheduled', (n_scheduled or 0) + #dues / 2) end
  call('SET', KEYS[15], cmsgpack.pack({ ARGV[5], reply }), 'PX', ARGV[3])
  return reply
until true
