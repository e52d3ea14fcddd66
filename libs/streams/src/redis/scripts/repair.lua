-- Makes streams, indexes and groups be there. KEYS: stream and index in turn. ARGV: group. What has the wrong type is
-- removed: the names are this program's own. A new group begins at 0, so entries that are there are given out again.
-- Answers how many things were not as they should be.
local repaired = 0
for i = 1, #KEYS do
  local is, should = redis.call('TYPE', KEYS[i]).ok, i % 2 == 1 and 'stream' or 'hash'
  if is ~= 'none' and is ~= should then
    redis.call('DEL', KEYS[i])
    repaired = repaired + 1
  end
  if i % 2 == 1 then
    local made = redis.pcall('XGROUP', 'CREATE', KEYS[i], ARGV[1], '0', 'MKSTREAM')
    if not made.err then
      repaired = repaired + 1
    elseif not string.find(made.err, 'BUSYGROUP', 1, true) then
      return redis.error_reply(made.err)
    end
  end
end
return repaired
