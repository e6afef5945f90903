--- What Linux tells of a process, which is named by its id or as "self".
local lfs = require "lfs"

local proc = {}

--- A number of /proc/<pid>/status, in kB where it is memory: "VmRSS", "VmHWM", "Threads".
function proc.status(pid, field)
  local file <close> = assert(io.open(("/proc/%s/status"):format(pid)))
  return tonumber(file:read "a":match("\n" .. field .. ":%s*(%d+)"))
end

--- How many file descriptors it has open.
function proc.descriptors(pid)
  local count = 0
  for name in lfs.dir(("/proc/%s/fd"):format(pid)) do
    if name ~= "." and name ~= ".." then count = count + 1 end
  end
  return count
end

return proc
