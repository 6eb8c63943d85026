-- The parts of a plain commit, with the arguments of parts.lua. Each is read from ARGV[at] on and
-- checked. Returns a function that writes it, its answer, and where ARGV continues; nothing if it
-- may be a repetition, if it is refused, or if what is stored does not have the layout that is
-- written.

local function in_ms(time) return string.format('%015d', time) end

local plain_parts = {
  s = function(key, at)
    local layouts, margin, name, attempt, of, ttl, output = unpack(ARGV, at, at + 6)
    local written, latest = sub(layouts, -1), string.rep('0', 16)
    local stored = redis.pcall('HMGET', key, 'run', 's' .. name)
    local head, entry = stored[1], stored[2]
    if not head or not entry or sub(head, 1, 1) ~= written
      or sub(entry, 1, 18) ~= written .. 'r' .. attempt or not tonumber(sub(entry, 19, 75)) then
      return nil
    end
    local till = tonumber(sub(head, 2, 16)) or 0
    if of == 'r' then latest = sub(head, 17, 32) end
    if till <= now or attempt < latest or not tonumber(sub(head, 33)) then return nil end
    till = math.max(till, now_up + ttl)
    head = written .. in_ms(till) .. latest .. sub(head, 33)
    local ended = string.format('%015d%06d', now, #output)
    entry = written .. 'd' .. sub(entry, 3, 54) .. ended .. sub(entry, 76)
    return function()
      call('HSET', key, 'run', head, 's' .. name, entry, 'o' .. name, output)
      call('PEXPIRE', key, till - now + margin)
    end, 'recorded', at + 7
  end,
  r = function(key, at)
    local written, head = sub(ARGV[at], -1), redis.pcall('HGET', key, 'run')
    if type(head) ~= 'string' or #head < 174 or sub(head, 1, 1) ~= written
      or string.find(sub(head, 3, 155), '%D') then
      return nil
    end
    local request, _, expected, sequence, fence, from, to, name, ends, n_pairs, n_payloads
      = unpack(ARGV, at + 3, at + 13)
    local letter, version, created, updated, ended, till, ttl, last_of, first, behind, bytes, most,
      last = unpack_bytes('>c1c16c16c15c15c15c15c16c16c16c8c5c16', head, 2)
    if tonumber(till) <= now or request == last or not string.find(from, letter, 1, true)
      or (expected ~= '' and tonumber(expected) ~= tonumber(version))
      or (sequence ~= '' and tonumber(sequence) ~= tonumber(behind))
      or (fence ~= '' and fence < last_of) then
      return nil
    end
    local is_transition = to ~= '' and to ~= letter
    local fields, stamp = {}, written .. in_ms(now) .. request
    n_pairs, n_payloads, behind = tonumber(n_pairs), tonumber(n_payloads), tonumber(behind)
    for number = 1, n_pairs + (is_transition and 1 or 0) do
      local field, value = ARGV[at + 12 + 2 * number], ARGV[at + 13 + 2 * number]
      if number > n_pairs then field, value = name, '' end
      if number > n_payloads then
        value = stamp .. string.format('%02d', #field) .. field .. value
        field = 'e' .. decimal(behind)
        behind, bytes = behind + 1, bytes + #value
      end
      add(fields, field, value)
    end
    -- Otherwise the oldest events are removed.
    if behind - first > tonumber(most) or tonumber(bytes) > tonumber(ARGV[at + 2]) then
      return nil
    end
    if to ~= '' or n_payloads > 0 then
      version = string.format('%016d', math.max(micros, version + 1))
      updated, last = in_ms(now), request
    end
    if is_transition then
      letter = to
      if ends == '1' then ended = updated end
    end
    if fence > last_of then last_of = fence end
    till = math.max(till, now_up + ttl)
    head = written .. letter .. version .. created .. updated .. ended .. in_ms(till) .. ttl
      .. last_of .. first .. string.format('%016d%08d', behind, bytes) .. most .. last
      .. sub(head, 172)
    return function()
      call('HSET', key, 'run', head, unpack(fields))
      call('PEXPIRE', key, till - now + ARGV[at + 1])
    end, { 'done', head }, at + 14 + 2 * n_pairs
  end,
  t = function(key, at)
    local layouts, kept, fence, expected, request, ttl, token = unpack(ARGV, at, at + 6)
    local written, head, version = sub(layouts, -1), redis.pcall('GETRANGE', key, '0', '84'), micros
    if head ~= '' then
      if type(head) ~= 'string' or #head ~= 85 or sub(head, 1, 2) ~= written .. 't'
        or string.find(sub(head, 3, 69), '%D') or fence < sub(head, 3, 18)
        or expected ~= sub(head, 19, 34) or request == sub(head, 70) then
        return nil
      end
      version = math.max(micros, expected + 1)
    elseif expected ~= '' then
      return nil
    end
    local till = ttl == '0' and 0 or now_up + ttl
    head = written .. 't' .. fence
      .. string.format('%016d%015d%015d%05d', version, now, till, #token) .. request
    return function()
      if till > 0 then
        call('SET', key, head .. token, 'PX', ttl + kept)
      else
        call('SET', key, head .. token)
      end
    end, { 'saved', tonumber(fence), version, now, till, now, #token }, at + 7
  end,
}
