/** Taking messages, and settling them. */

/**
 * Takes messages for several subscriptions, and keeps each in Kombu's books until it is settled, in one step.
 *
 * ARGV[2]: `[[queue, wanted, noAck, consumer, next number]]`, ARGV[3]: bytes after which no more are taken. Answers for each
 * subscription `gone`, where its queue is no more, the text of an error, or a list of fields (of Kombu's hash; '' without ack) and envelopes in turn;
 * behind them, where there was any, the queue of each message that was put aside.
 */
export const take = String.raw`
-- Nothing that is no JSON may get into Kombu's books, where it would stop every Kombu that looks for messages to give back.
local function sound(text)
  return string.find(text, '^{"_omnibus":') and string.sub(text, -2) == '}}' or (pcall(cjson.decode, text))
end
local function expired(known, text)
  if not known.ttl and string.find(text, '^{"_omnibus": ?"%d+|0|') then return false end
  local due = expiry(known, headOf(text))
  return due and due <= NOW
end
if fenced() then return refuse(410, 'the lease of this session is over') end
-- Where these are something else it must show before anything is taken.
call('HLEN', UNACKED)
call('ZCARD', INDEX)
call('LLEN', LETTERS)
local room = tonumber(ARGV[3])
local answers, aside = {}, {}
for i, ask in ipairs(cjson.decode(ARGV[2])) do
  local queue, wanted, noAck, consumer, number = ask[1], ask[2], ask[3], ask[4], ask[5]
  local known = definition(queue)
  local error = consumer == '' and barred(queue) or nil
  if error then return error end
  if consumer == '' then probeBooks() end
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
    local mark, entryEnd = S .. ':', ',"",' .. cjson.encode(queue) .. ']'
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
          if not sound(text) then
            call('LPUSH', OURS .. 'dead.' .. queue, text)
            aside[#aside + 1] = queue
          elseif expired(known, text) then bury(queue, text, 'expired')
          else
            local field = ''
            if not noAck then
              field = mark .. step .. ':' .. number
              number = number + 1
              local n = #fields
              fields[n + 1], fields[n + 2] = field, '[' .. text .. entryEnd
              scores[n + 1], scores[n + 2] = SECONDS, field
            end
            local n = #got
            got[n + 1], got[n + 2] = field, text
            room = room - #text
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
if #aside > 0 then answers[#answers + 1] = aside end
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
 * ARGV[2]: JSON list of fields that are done, ARGV[3]: `[[field, settlement]]` of the others, the last taken first. Answers how many of
 * all were no longer ours, and how many dead letters wait.
 */
export const settle = String.raw`
local done, lost = cjson.decode(ARGV[2]), 0
if #done > 0 then
  lost = #done - call('HDEL', UNACKED, unpack(done))
  call('ZREM', INDEX, unpack(done))
end
for _, other in ipairs(cjson.decode(ARGV[3])) do
  if not giveBack(other[1], other[2]) then lost = lost + 1 end
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

/** Puts what was heard on a channel into a queue, once for all who hear it. ARGV: session, queue, delivery tag, envelope. */
export const hear = String.raw`
local known = definition(ARGV[2])
if not known or not call('SET', OURS .. 'heard.' .. ARGV[2] .. SEP .. ARGV[3], S, 'NX', 'PX', HEARD_MS) then return 0 end
local h = headOf(ARGV[4])
call('LPUSH', list(ARGV[2], STEPS[1]), withHead(ARGV[4], h))
watch(ARGV[2], STEPS[1], expiry(known, h))
wake(ARGV[2], 1)
return 1
`.replace('HEARD_MS', '60000')
