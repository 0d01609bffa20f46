-- Scans JSON, as leniently as Envoy's parser: single quotes, unquoted names and a trailing comma are accepted too.
-- Malformed JSON raises `json.MALFORMED`, and Envoy rejects it.
-- Loops over bytes, because LuaJIT compiles such loops: a megabyte takes a few milliseconds.
local byte, find, sub = string.byte, string.find, string.sub

local json = {MALFORMED = {}}

local QUOTE, APOSTROPHE, BACKSLASH = byte('"'), byte("'"), byte("\\")
local SMALL_U, COLON, COMMA = byte("u"), byte(":"), byte(",")
local OPEN_OBJECT, CLOSE_OBJECT, OPEN_LIST, CLOSE_LIST = byte("{"), byte("}"), byte("["), byte("]")

function json.is_quote(c)
  return c == QUOTE or c == APOSTROPHE
end

-- Returns the position of the next byte that is not white space, and the byte.
function json.skip(text, i)
  local c = byte(text, i)
  while c == 32 or c == 10 or c == 13 or c == 9 do
    i = i + 1
    c = byte(text, i)
  end
  return i, c
end

-- Returns the position after the string at i, and a lower bound of the bytes that its escapes add.
function json.after_string(text, i)
  local quote, spare = byte(text, i), 0
  i = i + 1
  while true do
    local c = byte(text, i)
    if c == quote then
      return i + 1, spare
    elseif c == nil then
      error(json.MALFORMED, 0)
    elseif c == BACKSLASH then
      spare = spare + (byte(text, i + 1) == SMALL_U and 5 or 1)
      i = i + 1
    end
    i = i + 1
  end
end

-- Returns the position after the value at i, its nesting depth and, for an object or a list, a lower bound of its size in
-- bytes as compact JSON.
function json.after_value(text, i)
  local c = byte(text, i)
  if c ~= OPEN_OBJECT and c ~= OPEN_LIST then
    if json.is_quote(c) then
      return json.after_string(text, i), 0
    end
    local _, last = find(text, "^[^%s,:{}%[%]\"']+", i)
    if not last then
      error(json.MALFORMED, 0)
    end
    return last + 1, 0
  end
  local depth, deepest, size, in_word = 0, 0, 0, false
  repeat
    c = byte(text, i)
    if c == QUOTE or c == APOSTROPHE then
      local after, spare = json.after_string(text, i)
      size, in_word = size + (after - i - spare), false
      i = after
    elseif c == nil then
      error(json.MALFORMED, 0)
    else
      if c == OPEN_OBJECT or c == OPEN_LIST then
        depth = depth + 1
        deepest = depth > deepest and depth or deepest
        size, in_word = size + 1, false
      elseif c == CLOSE_OBJECT or c == CLOSE_LIST then
        depth = depth - 1
        size, in_word = size + 1, false
      elseif c == COLON or c == COMMA then
        size, in_word = size + 1, false
      elseif c <= 32 then
        in_word = false
      elseif not in_word then -- count one byte for a number, a keyword or an unquoted name
        size, in_word = size + 1, true
      end
      i = i + 1
    end
  until depth == 0
  return i, deepest, size
end

-- Returns the position of the value after the colon expected at i, and the value's first byte.
function json.after_colon(text, i)
  local c
  i, c = json.skip(text, i)
  if c ~= COLON then
    error(json.MALFORMED, 0)
  end
  return json.skip(text, i + 1)
end

-- Returns the position of the next member after the value that ends before i, and its first byte: `closing` at the end of
-- the object or list.
function json.after_comma(text, i, closing)
  local c
  i, c = json.skip(text, i)
  if c == COMMA then
    return json.skip(text, i + 1)
  elseif c ~= closing then
    error(json.MALFORMED, 0)
  end
  return i, c
end

-- Returns the member name at i, and the position after it.
function json.name(text, i)
  if json.is_quote(byte(text, i)) then
    local after = json.after_string(text, i)
    return json.unescape(sub(text, i + 1, after - 2)), after
  end
  local _, last = find(text, "^[%a_$][%w_$]*", i)
  if not last then
    error(json.MALFORMED, 0)
  end
  return sub(text, i, last), last + 1
end

local letters = {b = "\b", f = "\f", n = "\n", r = "\r", t = "\t"}

-- Returns the content of a string without its escapes. Escapes beyond ASCII stay: no field name has any.
function json.unescape(text)
  if not find(text, "\\", 1, true) then
    return text
  end
  return (text:gsub("\\(.)(%x?%x?%x?%x?)", function(letter, digits)
    if letter == "u" then
      local code = #digits == 4 and tonumber(digits, 16) or 128
      return code < 128 and string.char(code) or nil
    end
    return (letters[letter] or letter) .. digits
  end))
end

local escapes = {['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t"}

-- Returns the text as a JSON string. Invalid UTF-8 becomes a question mark.
function json.quote(text)
  text = text:gsub('[%c"\\\127]', function(c)
    return escapes[c] or string.format("\\u%04x", byte(c))
  end)
  text = text:gsub("[\128-\191\192-\255][\128-\191]*", function(run)
    local lead, second = byte(run, 1, 2)
    local length = lead < 194 and 0 or lead < 224 and 2 or lead < 240 and 3 or lead < 245 and 4 or 0
    local odd = (lead == 224 and (second or 0) < 160)
      or (lead == 237 and (second or 0) > 159)
      or (lead == 240 and (second or 0) < 144)
      or (lead == 244 and (second or 0) > 143)
    return (#run == length and not odd) and run or "?"
  end)
  return '"' .. text .. '"'
end

-- Returns the text cut to this many bytes, between characters.
function json.shorten(text, length)
  if #text <= length then
    return text
  end
  return (sub(text, 1, length):gsub("[\192-\255][\128-\191]*$", "")) .. "…"
end

return json
