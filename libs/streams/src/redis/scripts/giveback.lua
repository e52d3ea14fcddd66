-- Offers anew what was read and found no taker. KEYS: stream, index. ARGV: group, then entry and pointer in turn.
-- What was settled meanwhile is left alone, and so is an entry of the same id that is another pointer's.
-- Answers how many were offered.
local given = 0
for i = 2, #ARGV, 2 do
  local found = redis.call('XRANGE', KEYS[1], ARGV[i], ARGV[i])[1]
  if found and found[2][2] == ARGV[i + 1] then
    redis.call('XDEL', KEYS[1], ARGV[i])
    redis.call('XACK', KEYS[1], ARGV[1], ARGV[i])
    redis.call('HSET', KEYS[2], ARGV[i + 1], redis.call('XADD', KEYS[1], '*', 'p', ARGV[i + 1]))
    given = given + 1
  end
end
return given
