-- Checks a JSON body against the contract. Envoy's transcoder silently drops unknown fields, and names no field when it
-- finds an object instead of a string.
local contract = require("contract")
local integers = require("integers")
local json = require("json")
local names = require("names")
local times = require("times")

local fields = {}

local MAX_VIOLATIONS = 10 -- in one response
local PAYLOAD = contract.payload
-- Levels of a struct. A request with more would not be valid protobuf.
local MAX_DEPTH = 30
local MAX_ITEMS = 2000 -- of a list; the servers accept at most 1,000 in any list
local MAX_SHOWN = 100

local TIMESTAMP = "must be an RFC 3339 time with a zone, such as 2026-11-27T09:00:00Z"
local DURATION = "must be a duration in seconds that ends with s, such as \"30s\" or \"0.5s\""
local INEXACT = " is beyond what a JSON number holds exactly (±9007199254740991); send a string, or a number with a "
  .. "point or an exponent"
local EXPECTED = {
  string = "must be a string",
  integer = "must be a whole number",
  number = "must be a number",
  boolean = "must be true or false",
  timestamp = TIMESTAMP,
  duration = DURATION,
}

local messages = {} -- name → {names = field names in order, fields = name → field}
for name, list in pairs(contract.messages) do
  local message = {names = {}, fields = {}}
  for _, field in ipairs(list) do
    field.kind = field[2]
    table.insert(message.names, field[1])
    message.fields[field[1]] = field
    message.fields[field[1]:gsub("_(%l)", string.upper)] = field
  end
  messages[name] = message
end

local enums = {} -- name → {expected = description, values = name → true}
for name, list in pairs(contract.enums) do
  enums[name] = {expected = "must be one of " .. table.concat(list, ", "), values = {unspecified = true}}
  for _, value in ipairs(list) do
    enums[name].values[value] = true
  end
end

local function unknown(name, message, parent)
  local closest = names.closest(name, message.names)
  if closest then
    return "is not a field of " .. parent .. " (did you mean " .. closest .. "?)"
  end
  local known = table.concat(message.names, ", ")
  return "is not a field of " .. parent .. (known == "" and ", which has no fields" or "; its fields are " .. known)
end

local function given(text)
  return ", not " .. json.shorten(text, MAX_SHOWN)
end

-- Returns whether a JSON value may be one of the enum's values: a number, which the server checks, or a name, which the
-- transcoder also accepts with escapes.
local function is_enum_value(value, values)
  local name = value:match("^[\"'](.*)[\"']$") or value
  return name:find("^-?%d+$") ~= nil or (name ~= value and (values[name] or name:find("\\", 1, true) ~= nil))
end

local STOP = {} -- raised once there are MAX_VIOLATIONS

local Reader = {}
Reader.__index = Reader

local function new_reader(text)
  -- The first `depth` elements of `names` and `indexes` are the path of the message being read.
  local reader = {text = text, violations = {}, edits = {}, depth = 0, names = {}, indexes = {}}
  reader.digits = integers.next(text, 1) -- the position of the next long number
  return setmetatable(reader, Reader)
end

local function segment(name, index)
  name = name == "" and '""' or name
  return index and name .. "[" .. index .. "]" or name
end

-- Returns the path of the message being read, such as `requests[3].retry_policy`, or of one of its fields.
function Reader:path(name, index)
  local segments = {}
  for level = 1, self.depth do
    segments[level] = segment(self.names[level], self.indexes[level])
  end
  table.insert(segments, name and segment(name, index))
  return json.shorten(table.concat(segments, "."), MAX_SHOWN)
end

function Reader:add_violation(path, description)
  table.insert(self.violations, {field = path, description = description})
  if #self.violations == MAX_VIOLATIONS then
    error(STOP, 0)
  end
end

-- Reads one value of a field at i.
function Reader:value(i, c, field, index)
  local kind, text = field.kind, self.text
  local message = messages[kind]
  if message and c == 123 then
    self.depth = self.depth + 1
    self.names[self.depth], self.indexes[self.depth] = field[1], index or false
    i = self:object(i, message)
    self.depth = self.depth - 1
    return i
  end
  local after, depth, size = json.after_value(text, i)
  local nested = c == 123 or c == 91
  local wrong
  if kind == "struct" and c == 123 then
    if depth > MAX_DEPTH then
      wrong = "must be nested at most " .. PAYLOAD.depth .. " levels deep; it has " .. depth
    elseif size > PAYLOAD.bytes then
      -- The server would reject it too, after Envoy had spent 0.1 s on transcoding it.
      wrong = "must be at most " .. PAYLOAD.bytes / 1024 .. " KiB as JSON"
    else
      self:check_integers(i, after, self:path(field[1], index))
    end
  elseif c == 110 and text:sub(i, after - 1) == "null" then
    return after
  elseif message or kind == "struct" then
    wrong = 'must be an object, such as {"…": …}' .. given(text:sub(i, after - 1))
  elseif nested then
    wrong = (EXPECTED[kind] or enums[kind].expected) .. (c == 123 and ", not an object" or ", not a list")
  elseif enums[kind] and not is_enum_value(text:sub(i, after - 1), enums[kind].values) then
    wrong = enums[kind].expected .. given(text:sub(i, after - 1))
  elseif kind == "timestamp" then
    local normalized = json.is_quote(c) and times.normalized(text:sub(i + 1, after - 2))
    wrong = not normalized and TIMESTAMP .. given(text:sub(i, after - 1))
    if normalized and normalized ~= text:sub(i + 1, after - 2) then
      table.insert(self.edits, {i + 1, after - 2, normalized})
    end
  elseif kind == "duration" and not (json.is_quote(c) and times.is_duration(text:sub(i + 1, after - 2))) then
    wrong = DURATION .. given(text:sub(i, after - 1))
  end
  if wrong then
    self:add_violation(self:path(field[1], index), wrong)
  end
  return after
end

-- Adds a violation for each integer that a double cannot hold exactly in the struct from i to `after`.
function Reader:check_integers(i, after, parent)
  if self.digits < i then
    self.digits = integers.next(self.text, i)
  end
  if self.digits < after then
    integers.find(self.text, i, function(path, text)
      self:add_violation(json.shorten(parent .. path, MAX_SHOWN), json.shorten(text, MAX_SHOWN) .. INEXACT)
    end)
  end
end

-- Reads the list at i: the values of a repeated field.
function Reader:list(i, field)
  local c
  local index = 0
  i, c = json.skip(self.text, i + 1)
  while c ~= 93 do
    i = self:value(i, c, field, index)
    index = index + 1
    if index > MAX_ITEMS then -- here for the same reason as the size of a struct
      self:add_violation(self:path(field[1]), "must have at most " .. MAX_ITEMS .. " items")
      error(STOP, 0)
    end
    i, c = json.after_comma(self.text, i, 93)
  end
  return i + 1
end

-- Reads the object at i: a message.
function Reader:object(i, message)
  local c, name
  i, c = json.skip(self.text, i + 1)
  while c ~= 125 do
    name, i = json.name(self.text, i)
    i, c = json.after_colon(self.text, i)
    local field = message.fields[name]
    if not field then
      self:add_violation(self:path(name), unknown(name, message, self.depth == 0 and "this request" or self:path()))
      i = json.after_value(self.text, i)
    elseif field.repeated and c == 91 then
      i = self:list(i, field)
    else
      i = self:value(i, c, field)
    end
    i, c = json.after_comma(self.text, i, 125)
  end
  return i + 1
end

-- Returns whether a field of a request is a timestamp.
function fields.is_timestamp(request, name)
  local field = messages[request].fields[name]
  return field ~= nil and field.kind == "timestamp"
end

-- Returns the violations of a body, and its text normalized for Envoy. Envoy itself rejects a body that is not JSON.
function fields.check(text, request)
  if text:sub(1, 3) == "\239\187\191" then -- a byte order mark
    text = text:sub(4)
  end
  local i, c = json.skip(text, 1)
  local reader = new_reader(text)
  local done, failure = pcall(function()
    if c == 123 then
      i = reader:object(i, messages[request])
    else
      i = json.after_value(text, i)
      local whole = json.shorten(text:match("^%s*(.-)%s*$"), MAX_SHOWN)
      reader:add_violation("", 'the body must be a JSON object, such as {"name": …}, not ' .. whole)
    end
    i, c = json.skip(text, i)
    if c then
      error(json.MALFORMED, 0)
    end
  end)
  if failure == json.MALFORMED then
    return {}, text
  elseif not done and failure ~= STOP then
    error(failure, 0)
  end
  local pieces, from = {}, 1
  for _, edit in ipairs(reader.edits) do
    table.insert(pieces, text:sub(from, edit[1] - 1))
    table.insert(pieces, edit[3])
    from = edit[2] + 1
  end
  table.insert(pieces, text:sub(from))
  return reader.violations, table.concat(pieces)
end

return fields
