/** Taking messages, and settling them. */

/**
 * Takes messages for several subscriptions, and keeps each in Kombu's books until it is settled, in one step.
 *
 * ARGV[2]: `[[queue, wanted, noAck, consumer, next number]]`, ARGV[3]: bytes after which no more are taken. Answers for each
 * subscription `gone`, where its queue is no more, the text of an error, or a list of fields (of Kombu's hash; '' without ack) and envelopes in turn.
 */
export const take = String.raw`
if fenced() then return refuse(410, 'the lease of this session is over') end
-- Where these are something else it must show before anything is taken.
call('HLEN', UNACKED)
call('ZCARD', INDEX)
call('LLEN', LETTERS)
local room = tonumber(ARGV[3])
local answers = {}
for i, ask in ipairs(cjson.decode(ARGV[2])) do
  local queue, wanted, noAck, consumer, number = ask[1], ask[2], ask[3], ask[4], ask[5]
  local known = definition(queue)
  local error = consumer == '' and barred(queue) or nil
  if error then return error end
  if consumer ~= '' and not known then answers[i] = 'gone'
  else
    known = definition(queue)
    local got, mine, problem, atOnce = {}, true, nil, 1
    if consumer ~= '' and known.single then
      local active = call('GET', OURS .. 'active.' .. queue)
      if not active then call('SET', OURS .. 'active.' .. queue, consumer) end
      mine = not active or active == consumer
    end
    local fields, scores = {}, {}
    for _, step in ipairs(STEPS) do
      while mine and #got < 2 * wanted and room > 0 do
        local taken = redis.pcall('RPOP', list(queue, step), math.min(wanted - #got / 2, atOnce))
        if taken and taken.err then problem = taken.err end
        if not taken or taken.err then break end
        -- Large ones are not taken out in vain.
        atOnce = math.max(1, math.min(64, math.floor(room / #taken[1])))
        for t, text in ipairs(taken) do
          if room <= 0 then
            -- More than was asked for by size: back to where they were.
            for back = #taken, t, -1 do call('RPUSH', list(queue, step), taken[back]) end
            break
          end
          local h = readHead(text)
          if not h and not pcall(cjson.decode, text) then call('LPUSH', OURS .. 'dead.' .. queue, text)
          else
            local due = expiry(known, h or headOf(text))
            if due and due <= NOW then bury(queue, text, 'expired')
            else
              local field = ''
              if not noAck then
                field = S .. ':' .. step .. ':' .. string.format('%.0f', number)
                number = number + 1
                fields[#fields + 1] = field
                fields[#fields + 1] = '[' .. text .. ',"",' .. cjson.encode(queue) .. ']'
                scores[#scores + 1] = SECONDS
                scores[#scores + 1] = field
              end
              got[#got + 1] = field
              got[#got + 1] = text
              room = room - #text
            end
          end
        end
      end
    end
    if #fields > 0 then
      call('HSET', UNACKED, unpack(fields))
      call('ZADD', INDEX, unpack(scores))
    end
    if consumer ~= '' and #got < 2 * wanted then call('SADD', OURS .. 'waiting.' .. queue, S) end
    used(queue)
    answers[i] = problem and #got == 0 and problem or got
  end
end
return answers
`

/** Gives one message back to the front of its queue, or to nobody where the queue is gone. */
export const giveBack = String.raw`
-- Kombu's entry of a held message of ours: the envelope, and the queue it was taken from.
local function readEntry(entry)
  local text, queue = string.match(entry, '^%[(.*),"","(.*)"%]$')
  return text, cjson.decode('["' .. queue .. '"]')[1]
end
-- Kombu reads whether it comes again in the delivery info, which is the last table of that name.
local function markAgain(text)
  local mark = '"redelivered":true,'
  if string.find(text, mark, 1, true) or string.find(text, '"redelivered": true', 1, true) then return text end
  local back = string.reverse(text)
  local at = string.find(back, string.reverse('"delivery_info"'), 1, true)
  local brace = at and string.find(text, '{', #text - at + 1, true)
  return brace and string.sub(text, 1, brace) .. mark .. string.sub(text, brace + 1) or text
end
local function giveBack(field, how)
  local entry = call('HGET', UNACKED, field)
  call('ZREM', INDEX, field)
  if not entry then return false end
  call('HDEL', UNACKED, field)
  local text, queue = readEntry(entry)
  local known = definition(queue)
  if not known then return true end
  if how == 'reject' then
    bury(queue, text, 'rejected')
    return true
  end
  local step = tonumber(string.match(field, ':(%d+):%d+$'))
  local h = headOf(text)
  if how == 'requeue' then h.count = h.count + 1 end
  h.again = 1
  call('RPUSH', list(queue, step), markAgain(withHead(text, h)))
  watch(queue, step, expiry(known, h))
  wake(queue, 1)
  return true
end
`

/**
 * ARGV[2]: `[field]` that are done, ARGV[3]: `[[field, settlement]]` of the others, the last taken first. Answers the positions of
 * those that were no longer ours, counted through both from 1.
 */
export const settle = String.raw`
local lost = {}
local done = cjson.decode(ARGV[2])
for i, field in ipairs(done) do
  if call('HDEL', UNACKED, field) == 0 then lost[#lost + 1] = i end
end
if #done > 0 then call('ZREM', INDEX, unpack(done)) end
for i, other in ipairs(cjson.decode(ARGV[3])) do
  if not giveBack(other[1], other[2]) then lost[#lost + 1] = #done + i end
end
return { lost, call('LLEN', LETTERS) }
`

/** A message that nobody can read leaves Kombu's books for a list of its queue's own, as it is. ARGV: session, queue, its field, or '' and it. */
export const putAside = String.raw`
local text = ARGV[4]
if ARGV[3] ~= '' then
  local entry = call('HGET', UNACKED, ARGV[3])
  if not entry then return 0 end
  text = readEntry(entry)
  call('HDEL', UNACKED, ARGV[3])
  call('ZREM', INDEX, ARGV[3])
end
call('LPUSH', OURS .. 'dead.' .. ARGV[2], text)
return 1
`
