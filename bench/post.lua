-- What an agent's SDK sends: a JSON body of 1.3 kB under about ten header lines.
-- The first argument is a pause after each answer, in milliseconds.
wrk.method = "POST"
wrk.body = '{"model":"paced-0","stream":false,"temperature":0.2,"max_tokens":512,"messages":['
  .. '{"role":"system","content":"You are a careful engineer."},{"role":"user","content":"'
  .. string.rep("Look at the failing test again, please. ", 29) .. '"}]}'
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Accept"] = "application/json"
wrk.headers["Accept-Encoding"] = "identity"
wrk.headers["User-Agent"] = "OpenAI/Python 2.8.1"
wrk.headers["Authorization"] = wrk.headers["Authorization"] or "Bearer sk-placeholder-of-the-agent"
wrk.headers["X-Stainless-Lang"] = "python"
wrk.headers["X-Stainless-Package-Version"] = "2.8.1"
wrk.headers["X-Stainless-Runtime"] = "CPython"
wrk.headers["X-Stainless-Retry-Count"] = "0"

function init(args)
  local pause = tonumber(args[1]) or 0
  if pause > 0 then
    math.randomseed(7)
    delay = function() return math.random(pause * 4 / 5, pause * 6 / 5) end
  end
end
