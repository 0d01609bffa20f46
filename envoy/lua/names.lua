-- Which field was meant by a name that is none.
local names = {}

local LONGEST = 64 -- what is longer is no slip of the pen
local FAR = 100 -- of a name that is a part of the other, behind all that are close

local function letters(name)
  return (name:lower():gsub("[^%w]", ""))
end

-- Returns how many letters must be changed, added, left out or swapped with the next to make one name the other.
local function distance(one, other)
  local before, row = nil, {}
  for j = 0, #other do
    row[j] = j
  end
  for i = 1, #one do
    local above = row
    row = {[0] = i}
    for j = 1, #other do
      local change = one:byte(i) == other:byte(j) and 0 or 1
      row[j] = math.min(above[j - 1] + change, above[j] + 1, row[j - 1] + 1)
      if i > 1 and j > 1 and one:byte(i) == other:byte(j - 1) and one:byte(i - 1) == other:byte(j) then
        row[j] = math.min(row[j], before[j - 2] + 1)
      end
    end
    before = above
  end
  return row[#other]
end

local function has_word(name, word)
  return ("_" .. name .. "_"):find("_" .. word .. "_", 1, true) ~= nil
end

-- Returns the one of `known` that is closest to `name`, or nil if none is close.
function names.closest(name, known)
  if #name > LONGEST then
    return nil
  end
  local given, best, least = letters(name), nil, math.huge
  local snake = name:gsub("(%l)(%u)", "%1_%2"):lower():gsub("[^%w]+", "_")
  for _, each in ipairs(known) do
    local other = letters(each)
    local apart = distance(given, other)
    if apart > math.max(#given, #other) / 3 then
      local is_part = other:sub(1, #given) == given or has_word(each, snake) or has_word(snake, each)
      apart = #given > 2 and is_part and FAR or math.huge
    end
    if apart < least then
      best, least = each, apart
    end
  end
  return best
end

return names
