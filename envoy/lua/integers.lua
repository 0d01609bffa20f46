-- Integers in a struct (task_data) that a double cannot hold exactly. Envoy reads each number as a double, so the server
-- would get a different integer, and could not distinguish it from an intended double.
local json = require("json")
local byte, find, sub = string.byte, string.find, string.sub

local integers = {}

local MAX = "9007199254740991" -- 2^53 - 1
local MANY_DIGITS = ("%d"):rep(#MAX)
local CLOSE_OBJECT, CLOSE_LIST = byte("}"), byte("]")

-- Returns the position of the next run of at least as many digits as MAX has, from i on; past the end if there is none.
function integers.next(text, i)
  return find(text, MANY_DIGITS, i) or #text + 1
end

local function is_beyond(digits)
  return #digits > #MAX or (#digits == #MAX and digits > MAX)
end

-- Calls `found` with the path and text of each such integer in the value at i. Returns the position after the value.
local function walk(text, i, path, found)
  local c = byte(text, i)
  if c == 123 or c == 91 then
    local closing, index = c == 123 and CLOSE_OBJECT or CLOSE_LIST, 0
    i, c = json.skip(text, i + 1)
    while c ~= closing do
      local part = "[" .. index .. "]"
      if closing == CLOSE_OBJECT then
        part, i = json.name(text, i)
        part = "." .. part
        i = json.after_colon(text, i)
      end
      table.insert(path, part)
      i = walk(text, i, path, found)
      table.remove(path)
      index = index + 1
      i, c = json.after_comma(text, i, closing)
    end
    return i + 1
  end
  local after = json.after_value(text, i)
  local digits = not json.is_quote(c) and sub(text, i, after - 1):match("^%-?0*(%d+)$")
  if digits and is_beyond(digits) then
    found(table.concat(path), sub(text, i, after - 1))
  end
  return after
end

-- Calls `found` with the path, such as `.order.items[2]`, and the text of each integer in the value at i that a double
-- cannot hold exactly.
function integers.find(text, i, found)
  walk(text, i, {}, found)
end

return integers
