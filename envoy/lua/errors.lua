-- Errors of the edge, in the same format as the servers' errors.
local contract = require("contract")
local json = require("json")
local names = require("names")
local printable = require("printable")

local errors = {}

local MAX_SHOWN = 100
local INVALID_ARGUMENT, UNIMPLEMENTED, INTERNAL, UNAUTHENTICATED = 3, 12, 13, 16
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

-- Answers a request with an error. A mapper in envoy.yaml leaves responses marked `rejected` unchanged.
local function respond(handle, status, body, headers)
  handle:streamInfo():dynamicMetadata():set("duetime.edge", "rejected", true)
  headers = headers or {}
  headers[":status"] = tostring(status)
  headers["content-type"] = "application/json"
  handle:respond(headers, body)
end

-- Rejects a method that the path does not allow.
function errors.method(handle, method, path, allow)
  local message = method .. " is not allowed on " .. json.shorten(path, MAX_SHOWN) .. "; allowed: " .. allow
  respond(handle, 405, as_json(UNIMPLEMENTED, "METHOD_NOT_ALLOWED", message), {allow = allow})
end

-- Rejects CONNECT. A mapper in envoy.yaml writes the body, the same as for protocol upgrades.
function errors.connect(handle)
  handle:respond({[":status"] = "403"}, "")
end

-- Rejects a body that is not uncompressed JSON.
function errors.media_type(handle, header, value, problem)
  local given = header .. " is " .. (value and "'" .. json.shorten(value, MAX_SHOWN) .. "'" or "missing")
  local message = given .. "; " .. problem
  respond(handle, 415, as_json(INVALID_ARGUMENT, "UNSUPPORTED_MEDIA_TYPE", message))
end

-- Rejects a key in a URL, which logs and browsers keep.
function errors.key_in_url(handle, parameter)
  local message = "do not send a key in a URL, as in '" .. parameter .. "=': it is logged on its way. Revoke this one, and send "
    .. "another in the header 'authorization: Bearer dt_…'"
  respond(handle, 401, as_json(UNAUTHENTICATED, "CREDENTIALS_INVALID", message), {["www-authenticate"] = "Bearer"})
end

-- Rejects a request whose check failed.
function errors.internal(handle)
  respond(handle, 500, as_json(INTERNAL, "EDGE_ERROR", "internal error of the edge; see its log"))
end

-- Rejects a body with its violations.
function errors.body(handle, violations)
  local messages = {}
  for _, each in ipairs(violations) do
    table.insert(messages, (each.field == "" and "" or each.field .. ": ") .. each.description)
  end
  local is_whole = violations[1].field == ""
  local reason = is_whole and "MALFORMED_REQUEST" or "INVALID_ARGUMENT"
  local message = table.concat(messages, "; ")
  respond(handle, 400, as_json(INVALID_ARGUMENT, reason, message, not is_whole and violations or nil))
end

local EXPECTED = {
  ["google.protobuf.Timestamp"] = "must be an RFC 3339 time with a zone, such as 2026-11-27T09:00:00Z",
  ["google.protobuf.Duration"] = "must be a duration in seconds that ends with s, such as 30s or 0.5s",
  TYPE_UINT32 = "must be a whole number from 0 to 4294967295",
  TYPE_INT32 = "must be a whole number",
  TYPE_DOUBLE = "must be a number",
  TYPE_STRING = "must be a string",
  TYPE_BOOL = "must be true or false",
}

local function expected(type_name)
  local short = type_name:gsub("^type%.googleapis%.com/", "")
  local values = contract.enums[short:gsub("^duetime%.v1%.", "")]
  return EXPECTED[short] or (values and "must be one of " .. table.concat(values, ", "))
end

-- Returns a plain message for one of the transcoder's.
local function rewrite(message)
  local name, message_name = message:match('^Could not find field "(.*)" in the type "duetime%.v1%.([%w.]+)"%.$')
  local fields = contract.messages[message_name]
  if fields then
    local known = {}
    for _, field in ipairs(fields) do
      table.insert(known, field[1])
    end
    local closest = names.closest(name, known)
    local ending = closest and " (did you mean " .. closest .. "?)" or "; its parameters are " .. table.concat(known, ", ")
    return json.shorten(name, MAX_SHOWN) .. ": is not a parameter of this request" .. (known[1] and ending or "")
  end
  local path, value, type_name = message:match("^(.-): invalid value (.*) for type ([%w./_]+)$")
  if type_name and expected(type_name) then
    local shown = value:find("^Field '") and "" or ", not " .. json.shorten(value, MAX_SHOWN)
    return json.shorten(path, MAX_SHOWN) .. ": " .. expected(type_name) .. shown
  end
  local problem, excerpt = message:match("^(.-)%.?\n(.*)\n *^$")
  if problem then
    return "the body is not JSON: " .. problem .. (excerpt == "" and "" or ", at " .. json.shorten(excerpt, MAX_SHOWN))
  end
  return (json.shorten(message:gsub("^: ", ""), 5 * MAX_SHOWN))
end

-- Returns an error body of the transcoder with its parser's message replaced by a plain one.
function errors.rewritten(body)
  local quoted = body:match('"reason":"MALFORMED_REQUEST".*"message":"(.*)"}%s*$')
  if not quoted then
    return body
  end
  return as_json(INVALID_ARGUMENT, "MALFORMED_REQUEST", rewrite(json.unescape(quoted)))
end

return errors
