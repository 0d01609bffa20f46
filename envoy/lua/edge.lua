-- What the edge does to requests over REST before the transcoder reads them, and to answers after it wrote them.
local events = require("events")
local fields = require("fields")
local refusals = require("refusals")
local routes = require("routes")

local JSON = "a body must be sent as 'application/json' (with curl: --json '…', or -H 'Content-Type: application/json')"

local function is_json(content_type)
  local parameters = content_type:lower():match("^%s*application/json%s*(.*)$")
  return parameters ~= nil and (parameters == "" or parameters:gsub('[ \t"]', "") == ";charset=utf-8")
end

-- Returns whether the transcoder takes it for gRPC, and leaves it alone. It reads application/grpc-web as JSON.
local function is_grpc(headers)
  local content_type = headers:get("content-type")
  return content_type ~= nil and (content_type == "application/grpc" or content_type:sub(1, 17) == "application/grpc+")
end

-- Writes the times of an address in upper case.
local function normal_query(path, request)
  return (path:gsub("([?&])([%w_.]+)=([^&#]*)", function(separator, name, value)
    if fields.is_time(request, name) then
      value = value:gsub("(%d)t(%d)", "%1T%2"):gsub("z$", "Z")
    end
    return separator .. name .. "=" .. value
  end))
end

local function check_body(handle, headers, route)
  -- They cannot be read any more after waiting for the body.
  local content_type, encoding = headers:get("content-type"), headers:get("content-encoding")
  local body = handle:body()
  if not body or body:length() == 0 then
    return
  end
  if not content_type or not is_json(content_type) then
    return refusals.media_type(handle, "Content-Type", content_type, JSON)
  elseif encoding and encoding:lower() ~= "identity" then
    return refusals.media_type(handle, "Content-Encoding", encoding, "a body must not be compressed")
  elseif not route.body then
    return
  end
  local text = body:getBytes(0, body:length())
  local violations, normal = fields.of_body(text, route.request)
  if violations[1] then
    return refusals.body(handle, violations)
  elseif normal ~= text then
    body:setBytes(normal)
  end
end

local function check(handle)
  local headers = handle:headers()
  local method, address = headers:get(":method"), headers:get(":path")
  if not address then
    return refusals.tunnel(handle) -- CONNECT
  elseif is_grpc(headers) then
    return
  end
  local path = address:match("^[^?#]*")
  local methods = routes.methods(path)
  if not methods then
    return -- the transcoder refuses it
  end
  local route = methods[method]
  if not route and method == "HEAD" then
    route = routes.head(methods)
    if route and route.request then
      headers:replace(":method", "GET")
      handle:streamInfo():dynamicMetadata():set("duetime.edge", "head", true)
    end
  end
  if not route then
    return refusals.method(handle, method, path, routes.allow(methods))
  end
  if #address > #path and route.request then
    headers:replace(":path", normal_query(address, route.request))
  end
  check_body(handle, headers, route)
end

-- Envoy would let a request pass whose check failed by itself.
function envoy_on_request(handle)
  local done, failure = pcall(check, handle)
  if not done then
    handle:logErr("a check of the edge failed: " .. tostring(failure))
    refusals.failure(handle)
  end
end

function envoy_on_response(handle)
  local headers = handle:headers()
  local content_type = headers:get("content-type")
  if not content_type or is_grpc(headers) then
    return
  end
  headers:remove("grpc-accept-encoding")
  local noted = handle:streamInfo():dynamicMetadata():get("duetime.edge") or {}
  if noted.head then
    for chunk in handle:bodyChunks() do
      chunk:setBytes("")
    end
  elseif content_type == "text/event-stream" then
    events.number(handle)
  elseif headers:get(":status") == "400" and not noted.refused then
    local body = handle:body()
    if body then
      body:setBytes(refusals.reworded(body:getBytes(0, body:length())))
    end
  end
end
