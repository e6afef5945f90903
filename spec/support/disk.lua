--- Directories of a spec's own, changed in the ways in which rules change.
local program = require "program"
local uv = require "luv"

local disk = {}

disk.directory, disk.remove_all, disk.write, disk.read = program.directory, program.remove, program.write, program.read

function disk.mkdir(path)
  assert(uv.fs_mkdir(path, 493))
  return path
end

function disk.link(target, path)
  assert(uv.fs_symlink(target, path))
end

disk.rename = function(from, to) assert(uv.fs_rename(from, to)) end
disk.unlink = function(path) assert(uv.fs_unlink(path)) end

--- Removes a directory of files.
function disk.rmdir(path)
  local list = assert(uv.fs_scandir(path))
  for name in function() return uv.fs_scandir_next(list) end do
    disk.unlink(path .. "/" .. name)
  end
  assert(uv.fs_rmdir(path))
end

--- A directory with those files: { ["app.lua"] = text }.
function disk.fill(path, files)
  disk.mkdir(path)
  for name, text in pairs(files) do
    disk.write(path .. "/" .. name, text)
  end
  return path
end

--- As an editor that writes a new file and puts it in the place of the old one.
function disk.replace(path, text)
  disk.write(path .. "~", text)
  disk.rename(path .. "~", path)
end

local versions = 0

--- As kubelet: a new directory with a name of its own, "..data" swapped to it, the old one deleted at once.
function disk.mount(path, files)
  versions = versions + 1
  local name = ("..2026_11_22_21_05_20.%09d"):format(versions)
  local old = uv.fs_readlink(path .. "/..data")
  disk.fill(path .. "/" .. name, files)
  disk.link(name, path .. "/..data_tmp")
  disk.rename(path .. "/..data_tmp", path .. "/..data")
  if old then
    disk.rmdir(path .. "/" .. old)
    return
  end
  for file in pairs(files) do
    disk.link("..data/" .. file, path .. "/" .. file)
  end
end

return disk
