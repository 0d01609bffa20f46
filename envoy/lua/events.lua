-- Server-sent events as browsers resume them: each has its cursor as its id.
local events = {}

-- Puts the ids into a stream of events, as it passes. What is between quotes in JSON has no quotes of its own, so that
-- the pattern begins an event wherever it is found.
function events.number(handle)
  local held = ""
  for chunk in handle:bodyChunks() do
    local text = held .. chunk:getBytes(0, chunk:length())
    held = ""
    if text:sub(-2) ~= "\n\n" then
      -- An event may come in pieces: its end, and its cursor, are still to come.
      local whole = text:match("^.*\n\n") or ""
      held = text:sub(#whole + 1)
      text = whole
    end
    local first, last, cursor = text:find('^data: {"cursor":"([%w_-]+)"')
    if first and text:find("\n\n", last, true) == #text - 1 then
      chunk:setBytes("id: " .. cursor .. "\n" .. text) -- one event, as most are
    else
      chunk:setBytes((text:gsub('data: {"cursor":"([%w_-]+)"', 'id: %1\n%0')))
    end
  end
end

return events
