-- wrk's script: posts the bodies of a folder in turn, and prints at the end what was counted, as one line of JSON.
--
--     wrk … -s wrk.lua URL -- FOLDER COUNT

local requests, count, at = {}, 0, 0

function init(args)
  count = tonumber(args[2])
  for i = 0, count - 1 do
    local file = assert(io.open(args[1] .. "/body-" .. i, "rb"))
    requests[i] = wrk.format("POST", nil, nil, file:read("*a"))
    file:close()
  end
end

function request()
  at = (at + 1) % count
  return requests[at]
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format('counted {"requests":%d,"tookUs":%d,"p50Us":%d,"p99Us":%d,"errors":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
