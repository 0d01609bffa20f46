-- Errors of the edge, in the shape of the servers' errors.
local contract = require("contract")
local json = require("json")
local names = require("names")
local printable = require("printable")

local refusals = {}

local SHOWN = 100
local INVALID_ARGUMENT, UNIMPLEMENTED, INTERNAL = 3, 12, 13
local INFO = '{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":%s,"domain":"duetime","metadata":{}}'
local BAD_REQUEST = '{"@type":"type.googleapis.com/google.rpc.BadRequest","field_violations":[%s]}'
local VIOLATION = '{"field":%s,"description":%s,"reason":%s}'

local function quoted(text)
  return json.quote(printable.escaped(text))
end

local function as_json(code, reason, message, violations)
  local details = {INFO:format(json.quote(reason))}
  local listed = {}
  for _, each in ipairs(violations or {}) do
    table.insert(listed, VIOLATION:format(quoted(each.field), quoted(each.description), json.quote(reason)))
  end
  if listed[1] then
    table.insert(details, BAD_REQUEST:format(table.concat(listed, ",")))
  end
  return ('{"code":%d,"message":%s,"details":[%s]}'):format(code, quoted(message), table.concat(details, ","))
end

-- Answers a request with an error. A mapper of envoy.yaml lets pass what is marked as being in shape.
local function respond(handle, status, body, headers)
  handle:streamInfo():dynamicMetadata():set("duetime.edge", "refused", true)
  headers = headers or {}
  headers[":status"] = tostring(status)
  headers["content-type"] = "application/json"
  handle:respond(headers, body)
end

-- Refuses a method that a path does not take.
function refusals.method(handle, method, path, allow)
  local message = method .. " is not allowed on " .. json.shorten(path, SHOWN) .. ", which takes " .. allow
  respond(handle, 405, as_json(UNIMPLEMENTED, "METHOD_NOT_ALLOWED", message), {allow = allow})
end

-- Refuses a tunnel. A mapper of envoy.yaml says so, as it does of other protocols.
function refusals.tunnel(handle)
  handle:respond({[":status"] = "403"}, "")
end

-- Refuses a body that is sent as something else than plain JSON.
function refusals.media_type(handle, header, value, wanted)
  local given = value and header .. " is '" .. json.shorten(value, SHOWN) .. "'" or "there is no " .. header
  local message = given .. "; " .. wanted
  respond(handle, 415, as_json(INVALID_ARGUMENT, "UNSUPPORTED_MEDIA_TYPE", message))
end

-- Refuses a request that could not be checked.
function refusals.failure(handle)
  respond(handle, 500, as_json(INTERNAL, "EDGE_ERROR", "The edge failed; its log says why."))
end

-- Refuses a body, with what is wrong with it.
function refusals.body(handle, violations)
  local messages = {}
  for _, each in ipairs(violations) do
    table.insert(messages, (each.field == "" and "" or each.field .. ": ") .. each.description)
  end
  local is_whole = violations[1].field == ""
  local reason = is_whole and "MALFORMED_REQUEST" or "INVALID_ARGUMENT"
  local message = table.concat(messages, "; ")
  respond(handle, 400, as_json(INVALID_ARGUMENT, reason, message, not is_whole and violations or nil))
end

local TYPES = {
  ["google.protobuf.Timestamp"] = "must be a time as RFC 3339 has it, with a zone, such as 2026-11-27T09:00:00Z",
  ["google.protobuf.Duration"] = "must be a number of seconds with an s, such as 30s or 0.5s",
  TYPE_UINT32 = "must be a whole number from 0 to 4294967295",
  TYPE_INT32 = "must be a whole number",
  TYPE_DOUBLE = "must be a number",
  TYPE_STRING = "must be a text in quotes",
  TYPE_BOOL = "must be true or false",
}

local function wanted(type_name)
  local short = type_name:gsub("^type%.googleapis%.com/", "")
  local values = contract.enums[short:gsub("^duetime%.v1%.", "")]
  return TYPES[short] or (values and "must be one of " .. table.concat(values, ", "))
end

-- Returns the sentence for one of Envoy's own.
local function reworded(message)
  local name, message_name = message:match('^Could not find field "(.*)" in the type "duetime%.v1%.([%w.]+)"%.$')
  local fields = contract.messages[message_name]
  if fields then
    local known = {}
    for _, field in ipairs(fields) do
      table.insert(known, field[1])
    end
    local closest = names.closest(name, known)
    local ending = closest and " (did you mean " .. closest .. "?)" or "; it takes " .. table.concat(known, ", ")
    return json.shorten(name, SHOWN) .. ": is no parameter of this request" .. (known[1] and ending or "")
  end
  local place, value, type_name = message:match("^(.-): invalid value (.*) for type ([%w./_]+)$")
  if type_name and wanted(type_name) then
    local shown = value:find("^Field '") and "" or ", not " .. json.shorten(value, SHOWN)
    return json.shorten(place, SHOWN) .. ": " .. wanted(type_name) .. shown
  end
  local problem, excerpt = message:match("^(.-)%.?\n(.*)\n *^$")
  if problem then
    return "the body is not JSON: " .. problem .. (excerpt == "" and "" or ", at " .. json.shorten(excerpt, SHOWN))
  end
  return (json.shorten(message:gsub("^: ", ""), 5 * SHOWN))
end

-- Returns a refusal of Envoy's, which says so in the words of its parser, in plain words.
function refusals.reworded(body)
  local quoted = body:match('"reason":"MALFORMED_REQUEST".*"message":"(.*)"}%s*$')
  if not quoted then
    return body
  end
  return as_json(INVALID_ARGUMENT, "MALFORMED_REQUEST", reworded(json.unescape(quoted)))
end

return refusals
