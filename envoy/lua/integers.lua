-- Integers of free values that no double holds. Envoy reads each number as a double, so that the server would be given
-- another integer than was written, and could not tell it from a double that was meant.
local json = require("json")
local byte, find, sub = string.byte, string.find, string.sub

local integers = {}

local MOST = "9007199254740991" -- 2^53 - 1
local MANY_DIGITS = ("%d"):rep(#MOST)
local CLOSE_OBJECT, CLOSE_LIST = byte("}"), byte("]")

-- Returns the position of the next digits that are as many as MOST has, from i on; past the end if there are none.
function integers.next(text, i)
  return find(text, MANY_DIGITS, i) or #text + 1
end

local function is_beyond(digits)
  return #digits > #MOST or (#digits == #MOST and digits > MOST)
end

-- Calls `found` with the path and the text of each such integer in the value at i, and returns the position after it.
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

-- Calls `found` with the path below it, such as `.order.items[2]`, and the text of each integer in the value at i that
-- no double holds.
function integers.find(text, i, found)
  walk(text, i, {}, found)
end

return integers
