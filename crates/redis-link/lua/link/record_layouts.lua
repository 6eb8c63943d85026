-- link/record_layouts: adds layouts to the record of a namespace. Of two layouts of one kind of
-- data the newer one is kept, and kinds that the record does not have are appended.
-- KEYS[1]  <namespace>:layouts: string: the name of each kind of data, a blank and its layout,
--          separated by blanks
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  the layouts to add, in the same form
-- Returns  {'recorded', the record}
-- Retry    a second run changes nothing
-- Cost     O(kinds of data)
-- needs: call
local names, layouts = {}, {}
for _, record in ipairs({ call('GET', KEYS[1]) or '', ARGV[2] }) do
  for name, layout in string.gmatch(record, '(%S+) (%d+)') do
    if not layouts[name] then names[#names + 1] = name end
    layouts[name] = math.max(layouts[name] or 0, tonumber(layout))
  end
end
local words = {}
for _, name in ipairs(names) do words[#words + 1] = name .. ' ' .. layouts[name] end
local record = table.concat(words, ' ')
call('SET', KEYS[1], record)
return {'recorded', record}
