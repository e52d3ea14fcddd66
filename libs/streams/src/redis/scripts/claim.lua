-- Takes over what others had read and not settled for long. KEYS: streams. ARGV: group, consumer, idle milliseconds,
-- number at most, a cursor for each stream. Answers {cursors, {position of the stream, entry, pointer}…}.
local out, cursors, left = {}, {}, tonumber(ARGV[4])
for at = 1, #KEYS do
  cursors[at] = ARGV[4 + at]
  if left > 0 then
    local got = redis.call('XAUTOCLAIM', KEYS[at], ARGV[1], ARGV[2], ARGV[3], ARGV[4 + at], 'COUNT', left)
    cursors[at] = got[1]
    for _, entry in ipairs(got[2]) do
      out[#out + 1] = { at, entry[1], entry[2][2] }
      left = left - 1
    end
  end
end
return { cursors, out }
