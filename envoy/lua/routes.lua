-- The methods that each path allows, with paths matched as the transcoder matches them.
local contract = require("contract")

local routes = {}

-- Envoy answers both itself.
local own = {GET = {}}
local static = {["/"] = own, ["/healthz"] = own}
local patterns = {} -- by custom verb, or ""

for path, methods in pairs(contract.routes) do
  local verb = path:match(":(%w+)$") or ""
  if path:find("{}", 1, true) then
    patterns[verb] = patterns[verb] or {}
    local pattern = "^" .. path:gsub("{}", "[^/]+") .. "$"
    table.insert(patterns[verb], {pattern = pattern, methods = methods})
  else
    static[path] = methods
  end
end

-- Returns the methods of a path (without its query), or nil if the API has no such path.
function routes.methods(path)
  if #path > 1 and path:sub(-1) == "/" then
    path = path:sub(1, -2)
  end
  if static[path] then
    return static[path]
  end
  -- A colon precedes only a custom verb: ids and queue names have none.
  for _, each in ipairs(patterns[path:match(":([^/]*)$") or ""] or {}) do
    if path:find(each.pattern) then
      return each.methods
    end
  end
end

-- Returns the route for HEAD: that of GET, unless it is a stream.
function routes.head(methods)
  return methods.GET and not methods.GET.stream and methods.GET or nil
end

-- Returns the value of the Allow header.
function routes.allow(methods)
  local names = {}
  for name in pairs(methods) do
    table.insert(names, name)
  end
  if routes.head(methods) then
    table.insert(names, "HEAD")
  end
  table.sort(names)
  return table.concat(names, ", ")
end

return routes
