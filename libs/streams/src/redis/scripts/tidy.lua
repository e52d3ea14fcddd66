-- Removes consumers that are gone. KEYS: streams. ARGV: group, own name, idle milliseconds. Removing one forgets what it
-- had read, so only those without anything are removed, in one step with the look. Answers how many.
local removed = 0
for _, key in ipairs(KEYS) do
  for _, fields in ipairs(redis.call('XINFO', 'CONSUMERS', key, ARGV[1])) do
    local consumer = {}
    for i = 1, #fields, 2 do
      consumer[fields[i]] = fields[i + 1]
    end
    if consumer.name ~= ARGV[2] and consumer.pending == 0 and consumer.idle > tonumber(ARGV[3]) then
      redis.call('XGROUP', 'DELCONSUMER', key, ARGV[1], consumer.name)
      removed = removed + 1
    end
  end
end
return removed
