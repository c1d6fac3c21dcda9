/** Messages in Kombu's books whose consumer is gone: a Kombu that died, or a session of ours that nobody ended. */

/**
 * ARGV: session, seconds after which Kombu gives up on a consumer. Gives back ours, and answers `[[field, exchange, routing key]]` of
 * Kombu's, with the bindings of those exchanges as `publish` answers them, for `recover`.
 */
export const strays = String.raw`
local found, seen, exchanges = {}, {}, {}
for _, field in ipairs(call('ZRANGEBYSCORE', INDEX, '-inf', SECONDS - ARGV[2], 'LIMIT', 0, 100)) do
  local session = string.match(field, '^(omnibus%-%x+):%d+:%d+$')
  if session then
    if not call('ZSCORE', SESSIONS, session) then giveBack(field, 'requeue') end
  else
    local entry = call('HGET', UNACKED, field)
    local exchange, key = string.match(entry or '', ', ?"([^"]*)", ?"([^"]*)"%]$')
    if not entry then call('ZREM', INDEX, field)
    elseif not exchange then
      -- No entry of Kombu's: nobody can give it back.
      call('LPUSH', OURS .. 'dead', entry)
      call('HDEL', UNACKED, field)
      call('ZREM', INDEX, field)
    else
      exchange, key = unpack(cjson.decode('["' .. exchange .. '","' .. key .. '"]'))
      found[#found + 1] = { field, exchange, key }
      if exchange ~= '' and not seen[exchange] then
        seen[exchange] = true
        exchanges[#exchanges + 1] = bindings(exchange)
      end
    end
  end
end
return { found, exchanges }
`

/**
 * Gives one of Kombu's back to the front of the queues its routing meant, where it is still as old. ARGV: session, seconds as above,
 * field, JSON list of queues.
 */
export const recover = String.raw`
local score = call('ZSCORE', INDEX, ARGV[3])
local entry = call('HGET', UNACKED, ARGV[3])
if not score or not entry or tonumber(score) > SECONDS - ARGV[2] then return 0 end
local text = string.match(entry, '^%[(.*), ?"[^"]*", ?"[^"]*"%]$')
call('HDEL', UNACKED, ARGV[3])
call('ZREM', INDEX, ARGV[3])
local h = headOf(text)
h.count, h.again = h.count + 1, 1
for _, queue in ipairs(cjson.decode(ARGV[4])) do
  call('RPUSH', list(queue, STEPS[1]), markAgain(withHead(text, h)))
  watch(queue, STEPS[1], expiry(definition(queue), h))
  wake(queue, 1)
end
return 1
`
