-- Removes entries that need not come again. KEYS: stream, index. ARGV: group, then entry and pointer in turn.
-- An index that names a later entry of the same pointer stays. Answers how many entries there were.
local settled = 0
for i = 2, #ARGV, 2 do
  redis.call('XACK', KEYS[1], ARGV[1], ARGV[i])
  settled = settled + redis.call('XDEL', KEYS[1], ARGV[i])
  if redis.call('HGET', KEYS[2], ARGV[i + 1]) == ARGV[i] then
    redis.call('HDEL', KEYS[2], ARGV[i + 1])
  end
end
return settled
