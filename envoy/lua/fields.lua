-- Holds a JSON body, and the parameters of an address, to the contract. Envoy's transcoder drops what it does not know
-- without a word, and names no field when an object stands where a text belongs.
local contract = require("contract")
local integers = require("integers")
local json = require("json")
local names = require("names")
local times = require("times")

local fields = {}

local MOST = 10 -- violations that one answer names
local ALLOWED = contract.payload
-- Of a free value. Deeper than this, the request would not even be valid protobuf.
local DEEPEST = 30
local LONGEST = 2000 -- items; no list of a request may have more than 1,000
local SHOWN = 100

local TIME = "must be a time as RFC 3339 has it, with a zone, such as 2026-11-27T09:00:00Z"
local SPAN = "must be a number of seconds with an s, such as \"30s\" or \"0.5s\""
local INEXACT = "must be an integer up to ±9007199254740991, which a JSON number holds exactly, a text, or a number with a "
  .. "point or an exponent"
local WORDS = {
  text = "must be a text in quotes",
  whole = "must be a whole number",
  number = "must be a number",
  flag = "must be true or false",
  time = TIME,
  span = SPAN,
}

local messages = {} -- name → {known = names in order, fields = name → field}
for name, list in pairs(contract.messages) do
  local message = {known = {}, fields = {}}
  for _, field in ipairs(list) do
    field.kind = field[2]
    table.insert(message.known, field[1])
    message.fields[field[1]] = field
    message.fields[field[1]:gsub("_(%l)", string.upper)] = field
  end
  messages[name] = message
end

local enums = {} -- name → {wanted = the sentence, values = name → true}
for name, list in pairs(contract.enums) do
  enums[name] = {wanted = "must be one of " .. table.concat(list, ", "), values = {unspecified = true}}
  for _, value in ipairs(list) do
    enums[name].values[value] = true
  end
end

local function unknown(name, message, where)
  local closest = names.closest(name, message.known)
  if closest then
    return "is no field of " .. where .. " (did you mean " .. closest .. "?)"
  end
  local known = table.concat(message.known, ", ")
  return "is no field of " .. where .. (known == "" and ", which has none" or "; it has " .. known)
end

local function given(text)
  return ", not " .. json.shorten(text, SHOWN)
end

-- Returns whether a JSON value may be one of these: as a number, which the server judges, or as a name. The transcoder
-- reads a name that is written with escapes.
local function is_choice(value, values)
  local name = value:match("^[\"'](.*)[\"']$") or value
  return name:find("^-?%d+$") ~= nil or (name ~= value and (values[name] or name:find("\\", 1, true) ~= nil))
end

local ENOUGH = {}

local Reader = {}
Reader.__index = Reader

local function new_reader(text)
  -- `names` and `indexes` have the place of the message that is read, as far as `depth`.
  local reader = {text = text, violations = {}, edits = {}, depth = 0, names = {}, indexes = {}}
  reader.digits = integers.next(text, 1) -- where the next long number is
  return setmetatable(reader, Reader)
end

local function segment(name, index)
  name = name == "" and '""' or name
  return index and name .. "[" .. index .. "]" or name
end

-- Returns the place of the message that is read, such as `requests[3].retry_policy`, or of a field of it.
function Reader:place(name, index)
  local segments = {}
  for level = 1, self.depth do
    segments[level] = segment(self.names[level], self.indexes[level])
  end
  table.insert(segments, name and segment(name, index))
  return json.shorten(table.concat(segments, "."), SHOWN)
end

function Reader:refuse(place, description)
  table.insert(self.violations, {field = place, description = description})
  if #self.violations == MOST then
    error(ENOUGH, 0)
  end
end

-- Reads what stands at i as the value of a field that is not repeated, or as one of those of a repeated field.
function Reader:one(i, c, field, index)
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
  if kind == "free" and c == 123 then
    if depth > DEEPEST then
      wrong = "must be nested at most " .. ALLOWED.depth .. " levels deep; it has " .. depth
    elseif size > ALLOWED.bytes then
      -- The server would say the same, once Envoy had spent a tenth of a second on turning it into protobuf.
      wrong = "must be at most " .. ALLOWED.bytes / 1024 .. " KiB as JSON"
    else
      self:free(i, after, self:place(field[1], index))
    end
  elseif c == 110 and text:sub(i, after - 1) == "null" then
    return after
  elseif message or kind == "free" then
    wrong = 'must be an object, such as {"…": …}' .. given(text:sub(i, after - 1))
  elseif nested then
    wrong = (WORDS[kind] or enums[kind].wanted) .. (c == 123 and ", not an object" or ", not a list")
  elseif enums[kind] and not is_choice(text:sub(i, after - 1), enums[kind].values) then
    wrong = enums[kind].wanted .. given(text:sub(i, after - 1))
  elseif kind == "time" then
    local normal = json.is_quote(c) and times.normal(text:sub(i + 1, after - 2))
    wrong = not normal and TIME .. given(text:sub(i, after - 1))
    if normal and normal ~= text:sub(i + 1, after - 2) then
      table.insert(self.edits, {i + 1, after - 2, normal})
    end
  elseif kind == "span" and not (json.is_quote(c) and times.is_span(text:sub(i + 1, after - 2))) then
    wrong = SPAN .. given(text:sub(i, after - 1))
  end
  if wrong then
    self:refuse(self:place(field[1], index), wrong)
  end
  return after
end

-- Refuses the integers that no double holds in the free value from i to `after`.
function Reader:free(i, after, place)
  if self.digits < i then
    self.digits = integers.next(self.text, i)
  end
  if self.digits < after then
    integers.find(self.text, i, function(path, shown)
      self:refuse(json.shorten(place .. path, SHOWN), INEXACT .. given(shown))
    end)
  end
end

-- Reads the list at i, whose values are a repeated field's.
function Reader:list(i, field)
  local c
  local index = 0
  i, c = json.skip(self.text, i + 1)
  while c ~= 93 do
    i = self:one(i, c, field, index)
    index = index + 1
    if index > LONGEST then -- as with a free value that is too large
      self:refuse(self:place(field[1]), "has more than " .. LONGEST .. " items, and no list of a request may")
      error(ENOUGH, 0)
    end
    i, c = json.after_comma(self.text, i, 93)
  end
  return i + 1
end

-- Reads the object at i, which is a message.
function Reader:object(i, message)
  local c, name
  i, c = json.skip(self.text, i + 1)
  while c ~= 125 do
    name, i = json.name(self.text, i)
    i, c = json.after_colon(self.text, i)
    local field = message.fields[name]
    if not field then
      self:refuse(self:place(name), unknown(name, message, self.depth == 0 and "this request" or self:place()))
      i = json.after_value(self.text, i)
    elseif field.repeated and c == 91 then
      i = self:list(i, field)
    else
      i = self:one(i, c, field)
    end
    i, c = json.after_comma(self.text, i, 125)
  end
  return i + 1
end

-- Returns whether a field of a request is a time.
function fields.is_time(request, name)
  local field = messages[request].fields[name]
  return field ~= nil and field.kind == "time"
end

-- Returns what is wrong with a body, as violations, and its text as Envoy is to read it. A body that is not JSON is
-- left for Envoy to refuse.
function fields.of_body(text, request)
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
      local whole = json.shorten(text:match("^%s*(.-)%s*$"), SHOWN)
      reader:refuse("", 'the body must be a JSON object, such as {"name": …}, not ' .. whole)
    end
    i, c = json.skip(text, i)
    if c then
      error(json.MALFORMED, 0)
    end
  end)
  if failure == json.MALFORMED then
    return {}, text
  elseif not done and failure ~= ENOUGH then
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
