-- Removes entries that need not come again. KEYS: stream, index. ARGV: group, then entry and pointer in turn.
-- An entry of the same id that is another pointer's (of a new stream) stays, and so does an index that names a later
-- entry of the same pointer. Answers how many entries there were.
local settled = 0
for i = 2, #ARGV, 2 do
  local found = redis.call('XRANGE', KEYS[1], ARGV[i], ARGV[i])[1]
  if not found or found[2][2] == ARGV[i + 1] then
    redis.call('XACK', KEYS[1], ARGV[1], ARGV[i])
    settled = settled + redis.call('XDEL', KEYS[1], ARGV[i])
  end
  if redis.call('HGET', KEYS[2], ARGV[i + 1]) == ARGV[i] then
    redis.call('HDEL', KEYS[2], ARGV[i + 1])
  end
end
return settled
