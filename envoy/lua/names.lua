-- Suggestions for misspelt names.
local names = {}

local MAX_LENGTH = 64 -- a longer name is not a typing error
local FAR = 100 -- the distance of a name that contains the other: above that of every typing error

local function letters(name)
  return (name:lower():gsub("[^%w]", ""))
end

-- Returns the edit distance of two names, where swapping two adjacent letters counts as one edit.
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

-- Returns the element of `known` closest to `name`, or nil if none is close.
function names.closest(name, known)
  if #name > MAX_LENGTH then
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
