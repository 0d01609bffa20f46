-- Checks REST requests before the transcoder reads them, and edits its responses.
local errors = require("errors")
local events = require("events")
local fields = require("fields")
local routes = require("routes")

local JSON = "it must be 'application/json' (with curl: --json '…', or -H 'Content-Type: application/json')"

local KEY_PARAMETERS = {api_key = true, apikey = true, ["api-key"] = true, access_token = true, authorization = true}

local function is_json(content_type)
  local parameters = content_type:lower():match("^%s*application/json%s*(.*)$")
  return parameters ~= nil and (parameters == "" or parameters:gsub('[ \t"]', "") == ";charset=utf-8")
end

-- Returns whether the transcoder treats the message as gRPC and passes it on unchanged. It reads application/grpc-web as
-- JSON.
local function is_grpc(headers)
  local content_type = headers:get("content-type")
  return content_type ~= nil and (content_type == "application/grpc" or content_type:sub(1, 17) == "application/grpc+")
end

-- Returns the path with the T and Z of the times in its query in upper case.
local function normalized_query(path, request)
  return (path:gsub("([?&])([%w_.]+)=([^&#]*)", function(separator, name, value)
    if fields.is_timestamp(request, name) then
      value = value:gsub("(%d)t(%d)", "%1T%2"):gsub("z$", "Z")
    end
    return separator .. name .. "=" .. value
  end))
end

-- Returns the parameter of the query that holds a key, if there is one.
local function key_parameter(address)
  for name, value in address:gmatch("[?&]([%w_%-]+)=([^&#]*)") do
    local is_key = value:sub(1, 3) == "dt_" and #value > 60
    local is_token = value:match("^ey[%w_%-]+%.[%w_%-]+%.") ~= nil
    if KEY_PARAMETERS[name:lower()] or is_key or is_token then
      return name
    end
  end
end

local function check_body(handle, headers, route)
  -- Read first: headers cannot be read after waiting for the body.
  local content_type, encoding = headers:get("content-type"), headers:get("content-encoding")
  local body = handle:body()
  if not body or body:length() == 0 then
    return
  end
  if not content_type or not is_json(content_type) then
    return errors.media_type(handle, "Content-Type", content_type, JSON)
  elseif encoding and encoding:lower() ~= "identity" then
    return errors.media_type(handle, "Content-Encoding", encoding, "compressed bodies are not supported")
  elseif not route.body then
    return
  end
  local text = body:getBytes(0, body:length())
  local violations, normalized = fields.check(text, route.request)
  if violations[1] then
    return errors.body(handle, violations)
  elseif normalized ~= text then
    body:setBytes(normalized)
  end
end

local function check(handle)
  local headers = handle:headers()
  local method, address = headers:get(":method"), headers:get(":path")
  if not address then
    return errors.connect(handle)
  elseif is_grpc(headers) then
    return
  end
  local parameter = key_parameter(address)
  if parameter then
    return errors.key_in_url(handle, parameter)
  end
  local path = address:match("^[^?#]*")
  local methods = routes.methods(path)
  if not methods then
    return -- the transcoder rejects it
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
    return errors.method(handle, method, path, routes.allow(methods))
  end
  if #address > #path and route.request then
    headers:replace(":path", normalized_query(address, route.request))
  end
  check_body(handle, headers, route)
end

-- Rejects a request whose check itself failed: Envoy would let it pass.
function envoy_on_request(handle)
  local done, failure = pcall(check, handle)
  if not done then
    handle:logErr("request check failed: " .. tostring(failure))
    errors.internal(handle)
  end
end

function envoy_on_response(handle)
  local headers = handle:headers()
  local content_type = headers:get("content-type")
  if not content_type or is_grpc(headers) then
    return
  end
  headers:remove("grpc-accept-encoding")
  local metadata = handle:streamInfo():dynamicMetadata():get("duetime.edge") or {}
  if metadata.head then
    for chunk in handle:bodyChunks() do
      chunk:setBytes("")
    end
  elseif content_type == "text/event-stream" then
    events.add_ids(handle)
  elseif headers:get(":status") == "400" and not metadata.rejected then
    local body = handle:body()
    if body then
      body:setBytes(errors.rewritten(body:getBytes(0, body:length())))
    end
  end
end
