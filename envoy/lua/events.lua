-- Server-sent events, each with its cursor as its id, so that browsers resume where they stopped.
local events = {}

-- Adds the ids to a stream of events as it passes. JSON escapes quotes inside strings, so wherever the pattern matches, an
-- event begins.
function events.add_ids(handle)
  local incomplete = ""
  for chunk in handle:bodyChunks() do
    local text = incomplete .. chunk:getBytes(0, chunk:length())
    incomplete = ""
    if text:sub(-2) ~= "\n\n" then
      -- An event may arrive in several chunks: keep the incomplete one until its end arrives.
      local whole = text:match("^.*\n\n") or ""
      incomplete = text:sub(#whole + 1)
      text = whole
    end
    local first, last, cursor = text:find('^data: {"cursor":"([%w_-]+)"')
    if first and text:find("\n\n", last, true) == #text - 1 then
      chunk:setBytes("id: " .. cursor .. "\n" .. text) -- one event: the usual case
    else
      chunk:setBytes((text:gsub('data: {"cursor":"([%w_-]+)"', 'id: %1\n%0')))
    end
  end
end

return events
