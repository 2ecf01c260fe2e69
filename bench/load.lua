-- One workload for wrk: "list LIMIT", "create", "create_once" (each with a key of its own), "delete IDS" (so many ids a
-- request) or "mixed".
-- With one thread there is one of this state, so ids follow each other.

local workload, number
local requests = 0
local last_id = 0
local run
local json = { ["Content-Type"] = "application/json" }

local function list(limit)
   return wrk.format("GET", "/pets/?limit=" .. limit)
end

local function create()
   return wrk.format("POST", "/pets/", json, '{"name": "boy", "age": 7, "type": "dog"}')
end

local function create_once()
   json["Idempotency-Key"] = string.format('"%s-%d"', run, requests)
   return wrk.format("POST", "/pets/", json, '{"name": "boy", "age": 7, "type": "dog"}')
end

local function delete(count)
   local ids = {}
   for i = 1, count do
      last_id = last_id + 1
      ids[i] = last_id
   end
   return wrk.format("DELETE", "/pets/", json, '{"ids": [' .. table.concat(ids, ", ") .. "]}")
end

function init(args)
   workload, number = args[1], tonumber(args[2])
   run = tostring(os.time()) .. tostring(json)
   listing, creation = list(number or 20), create()
end

function request()
   requests = requests + 1
   local kind = workload
   if kind == "mixed" then -- of 20 requests: 16 lists, 3 creations, 1 deletion
      local step = requests % 20
      kind = step < 16 and "list" or step < 19 and "create" or "delete"
   end
   if kind == "list" then
      return listing
   elseif kind == "create" then
      return creation
   elseif kind == "create_once" then
      return create_once()
   end
   return delete(number or 1)
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      '{"requests": %d, "seconds": %.6f, "p50": %.3f, "p99": %.3f, "failed": %d}\n',
      summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
      errors.connect + errors.read + errors.write + errors.status + errors.timeout
   ))
end
