-- Sends the requests of a file in turn, and begins again after the last one.
-- A zero byte stands between two requests. "#########" stands for a number that grows with each use.

local requests, last, number = {}, 0, 0

local function next_number()
   number = number + 1
   return string.format("%9d", number)
end

function init(args)
   local file = assert(io.open(args[1], "rb"))
   for text in file:read("*a"):gmatch("%Z+") do
      requests[#requests + 1] = text
   end
   file:close()
end

function request()
   last = last % #requests + 1
   local text = requests[last]:gsub("#########", next_number)
   return text
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      '{"requests": %d, "seconds": %.6f, "p50": %.3f, "p99": %.3f, "refused": %d, "broken": %d}\n',
      summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
      errors.status, errors.connect + errors.read + errors.write + errors.timeout
   ))
end
