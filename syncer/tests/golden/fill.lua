-- Every type and encoding that the server has. What an older server lacks fails there and is left out.
-- Long values repeat one character, so that the files stay small.
local call = redis.pcall
local long, element = string.rep('l', 70), string.rep('e', 9000)

call('SET', 'string', 'plain text')
call('SET', 'string:empty', '')
call('SET', 'string:int8', '-128')
call('SET', 'string:int16', '32767')
call('SET', 'string:int32', '-2147483648')
call('SET', 'string:int64', '9223372036854775807')
call('SET', 'string:lzf', string.rep('abc', 5000))
call('SET', 'string:binary', '\0\1\254\255\r\n')
call('SET', '', 'the empty key')
call('SET', '12345', 'a key that is an integer')
call('SET', string.rep('k', 1000), 'a key that is compressed')
call('SET', 'expiring', 'in 2100')
call('PEXPIREAT', 'expiring', '4102444800123')

for i = 1, 300 do call('RPUSH', 'list', 'element-' .. (i % 7)) end
call('RPUSH', 'list:one', '1')
call('RPUSH', 'list:plain', 'small', element, 'small again', element)
call('SADD', 'set:intset', '1', '70000', '-5000000000')
call('SADD', 'set:listpack', 'a', 'b', '3')
call('SADD', 'set:table', 'a', 'b', long)
call('ZADD', 'zset', '1', 'a', '-2.5', 'b', '1e100', 'c')
call('ZADD', 'zset:table', 'inf', 'a', '-inf', 'b', '0.1', long)
call('HSET', 'hash', 'f', 'v')
call('HMSET', 'hash', 'f', 'v', 'n', '17')
call('HMSET', 'hash:table', 'f', long, '12', '13')

call('HSET', 'hash:ttl', 'f', 'v', 'g', 'w')
call('HPEXPIREAT', 'hash:ttl', '4102444800123', 'FIELDS', '1', 'f')
call('HSET', 'hash:ttl:table', 'f', long, 'g', 'w', 'h', 'x')
call('HPEXPIREAT', 'hash:ttl:table', '4102444800123', 'FIELDS', '2', 'f', 'g')

for i = 1, 5 do call('XADD', 'stream', i .. '-1', 'f', 'v' .. i, 'g', element) end
call('XDEL', 'stream', '2-1')
call('XGROUP', 'CREATE', 'stream', 'one', '0')
call('XGROUP', 'CREATE', 'stream', 'two', '3-1')
call('XGROUP', 'CREATECONSUMER', 'stream', 'one', 'idle')
call('XREADGROUP', 'GROUP', 'one', 'reader', 'COUNT', '3', 'STREAMS', 'stream', '>')
call('XREADGROUP', 'GROUP', 'one', 'second', 'COUNT', '1', 'STREAMS', 'stream', '>')
call('XGROUP', 'CREATE', 'stream:empty', 'one', '$', 'MKSTREAM')
-- An entry of the size whose back length is written in two forms.
call('XADD', 'stream:backlen', '1-1', 'f', string.rep('x', 16378))

call('JSON.SET', 'module:json', '$', '{"a": [1, 2.5, "text"]}')
call('BF.ADD', 'module:bloom', 'item')

call('SELECT', '3')
call('SET', 'string', 'of database 3')
