-- One line for each key of a database: the database, the key and its DUMP, in hex.
local function hex(text)
    return (string.gsub(text, '.', function(c) return string.format('%02x', string.byte(c)) end))
end
redis.call('SELECT', ARGV[1])
local keys, lines = redis.call('KEYS', '*'), {}
table.sort(keys)
for i, key in ipairs(keys) do
    lines[i] = ARGV[1] .. ' ' .. hex(key) .. ' ' .. hex(redis.call('DUMP', key))
end
return lines
