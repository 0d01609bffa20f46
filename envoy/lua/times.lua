-- Timestamps and durations in protobuf's JSON format.
local times = {}

local DAYS = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}

-- Returns an RFC 3339 time with T and Z in upper case, as Envoy requires, or nil if the text is not a valid one.
function times.normalized(text)
  local date, clock, rest = text:match("^(%d%d%d%d%-%d%d%-%d%d)[Tt](%d%d:%d%d:%d%d)(.*)$")
  if not date then
    return nil
  end
  local fraction, zone = rest:match("^(%.?%d*)([Zz+-][%d:]*)$")
  if not fraction or not (fraction == "" or (fraction:find("^%.%d+$") and #fraction <= 10)) then
    return nil
  end
  local hours, minutes = zone:match("^[+-](%d%d):(%d%d)$")
  if not (zone:lower() == "z" or (hours and tonumber(hours) < 24 and tonumber(minutes) < 60)) then
    return nil
  end
  local year, month, day = date:match("^(%d+)%-(%d+)%-(%d+)$")
  year, month, day = tonumber(year), tonumber(month), tonumber(day)
  local leap = year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0)
  local last = month == 2 and leap and 29 or DAYS[month]
  local hour, minute, second = clock:match("^(%d+):(%d+):(%d+)$")
  if year < 1 or not last or day < 1 or day > last then
    return nil
  end
  if tonumber(hour) > 23 or tonumber(minute) > 59 or tonumber(second) > 59 then
    return nil
  end
  return date .. "T" .. clock .. fraction .. zone:upper()
end

-- Returns whether the text is a duration.
function times.is_duration(text)
  local whole, fraction = text:match("^%-?(%d+)(%.?%d*)s$")
  return whole ~= nil and #whole <= 12 and (fraction == "" or (#fraction > 1 and #fraction <= 10))
end

return times
