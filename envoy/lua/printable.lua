-- Escapes for text from callers, so that it is safe to print on a terminal: the same as in quoting.py of duetime_core.
local byte = string.byte

-- Control characters, bidirectional controls, and invisible marks and tags, as UTF-8.
local UNPRINTABLE = {
  "[%z\1-\31\127]",
  "\194[\128-\159]",
  "\216\156",
  "\226\128[\142\143\168-\174]",
  "\226\129[\166-\169]",
  "\239\187\191",
  "\239\191[\185-\187]",
  "\243\160[\128\129][\128-\191]",
}
local LETTERS = {["\t"] = "\\t", ["\n"] = "\\n", ["\r"] = "\\r"}

local function escape(character)
  local code = byte(character)
  local lead = code < 128 and 0 or code < 224 and 192 or code < 240 and 224 or 240
  code = code - lead
  for i = 2, #character do
    code = code * 64 + byte(character, i) - 128
  end
  return LETTERS[character] or (code < 256 and "\\x%02x" or code < 65536 and "\\u%04x" or "\\U%08x"):format(code)
end

local printable = {}

-- Returns the text with unprintable characters escaped, such as ESC as `\x1b`.
function printable.escaped(text)
  if not text:find("[%z\1-\31\127-\255]") then
    return text
  end
  for _, pattern in ipairs(UNPRINTABLE) do
    text = text:gsub(pattern, escape)
  end
  return text
end

return printable
