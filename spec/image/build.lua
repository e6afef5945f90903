--- Follows the Dockerfile where there is no container engine: each stage is a directory that debootstrap fills with
--- Debian and RUN changes in a chroot. Leaves the last stage's root in <directory>/root and beside it `run`, which
--- starts the image as Kubernetes would. What has not changed since the last time is not done again.
---
--- lua5.4 spec/image/build.lua <directory>: as root, in the root of the repository.
package.path = "./?.lua;" .. package.path
local dockerfile = require "spec.image.dockerfile"

local directory = assert(arg[1], "usage: lua5.4 spec/image/build.lua <directory>")

local SUITES = { ["debian:12-slim"] = "bookworm" }
local MIRROR = "http://deb.debian.org/debian"
-- What the official image's configuration leaves out: documentation, and what apt would keep.
local SLIM = [[
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/info/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/man/*
]]
-- What it adds: neither translations, nor a wait for the disk after each file.
local APT = [[
Dir::Cache::pkgcache ""; Dir::Cache::srcpkgcache "";
Acquire::Languages "none";
]]
local DPKG = "force-unsafe-io\n"

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

local function sh(command, ...)
  command = ("set -e; " .. command):format(...)
  assert(os.execute("sh -c " .. quote(command)), command)
end

local function output(command, ...)
  local pipe = assert(io.popen(("set -e; " .. command):format(...)))
  local text = pipe:read("a")
  assert(pipe:close(), command)
  return text
end

local function read(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read("a")
  file:close()
  return text
end

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  assert(file:write(text))
  assert(file:close())
end

local function hash(...)
  local path = directory .. "/hashed"
  write(path, table.concat({ ... }, "\0"))
  return output("sha256sum %s", path):match("%x+")
end

--- Does nothing when `root` already is what `name` stands for; otherwise makes it anew, whole or not at all.
local function once(root, name, make)
  if read(root .. ".key") == name then return end
  local unfinished = root .. ".new"
  sh("rm -rf %s %s %s.key", unfinished, root, root)
  make(unfinished)
  sh("mv %s %s", unfinished, root)
  write(root .. ".key", name)
end

--- What the official image is made as: debootstrap's smallest variant without documentation, updates on.
local function make_base(root, suite)
  sh("mkdir -p %s/etc/dpkg/dpkg.cfg.d", root)
  write(root .. "/etc/dpkg/dpkg.cfg.d/docker-apt-speedup", DPKG)
  sh("debootstrap --variant=minbase --cache-dir=%s/apt %s %s %s >%s/debootstrap.log", directory, suite, root, MIRROR,
    directory)
  write(root .. "/etc/apt/sources.list", ([[
deb MIRROR SUITE main
deb MIRROR SUITE-updates main
deb MIRROR-security SUITE-security main
]]):gsub("MIRROR", MIRROR):gsub("SUITE", suite))
  write(root .. "/etc/dpkg/dpkg.cfg.d/slim", SLIM)
  write(root .. "/etc/apt/apt.conf.d/docker", APT)
  write(root .. "/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n") -- no package starts a service
  sh("chmod 755 %s/usr/sbin/policy-rc.d", root)
  sh("cd %s; rm -rf var/lib/apt/lists/* var/cache/apt/* usr/share/info usr/share/locale usr/share/man", root)
  sh("find %s/usr/share/doc -type f ! -name copyright -delete; : >%s/etc/resolv.conf", root, root)
end

local steps = {}

function steps.WORKDIR(root, step)
  sh("mkdir -p %s", root .. step.workdir)
end

function steps.RUN(root, step)
  write(directory .. "/step.sh", ([[
set -e
mount -t proc proc @root/proc
mkdir -p @root/var/cache/apt/archives/partial
mount --bind @directory/apt @root/var/cache/apt/archives
mount --bind /etc/resolv.conf @root/etc/resolv.conf
exec chroot @root env -i -C @workdir PATH="$PATH" HOME=/root DEBIAN_FRONTEND=noninteractive /bin/sh -c "$1"
]]):gsub("@(%l+)", { root = root, directory = directory, workdir = step.workdir }))
  sh("unshare --mount --pid --fork --kill-child sh %s/step.sh %s >%s/step.log 2>&1 || { cat %s/step.log; exit 1; }",
    directory, quote(step.text), directory, directory)
end

function steps.COPY(root, step)
  local target = root .. (step.target:match("^/") and step.target or step.workdir .. "/" .. step.target)
  for _, source in ipairs(step.sources) do
    source = step.origin .. "/" .. source
    sh([[
if test -d %s; then mkdir -p %s; cp -R --preserve=mode %s/. %s
else mkdir -p $(dirname %s/.); cp --preserve=mode %s %s; fi]], source, target, source, target,
      step.target:match("/$") and target or target:match("^(.*)/"), source, target)
  end
end

--- Gives each step the key of all that it depends on.
local function add_keys(stage, base_key, context, stages)
  local previous = base_key
  for _, step in ipairs(stage.steps) do
    local inputs = ""
    if step.from then
      step.origin, inputs = assert(stages[step.from], step.from).root, stages[step.from].key
    elseif step.kind == "COPY" then
      step.origin = context
      inputs = output("tar -C %s --sort=name --mtime=@0 --owner=0 --group=0 -c %s | sha256sum", context,
        table.concat(step.sources, " "))
    end
    step.key = hash(previous, step.kind, step.text, inputs)
    previous = step.key
  end
  stage.key = previous
end

--- The stage's root. What its first RUN leaves, which installs packages, is kept beside it: it changes rarely.
local function make_stage(stage, base)
  local root, done = stage.root, 0
  for i, step in ipairs(stage.steps) do
    if step.kind == "RUN" and done == 0 then done = i end
  end
  local function follow(into, first, last)
    for i = first, last do steps[stage.steps[i].kind](into, stage.steps[i]) end
  end
  if done > 0 then
    local installed = root .. ".packages"
    once(installed, stage.steps[done].key, function(into)
      sh("cp -a %s %s", base, into)
      follow(into, 1, done)
    end)
    base = installed
  end
  once(root, stage.key, function(into)
    sh("cp -a %s %s", base, into)
    follow(into, done + 1, #stage.steps)
  end)
end

--- Starts the image as a container runtime does under the chart: its user, a root that cannot be written, no
--- capabilities and no way to get any, processes and a loopback of its own. The environment is the caller's with the
--- image's.
local function write_run(stage)
  local function words(list)
    local quoted = {}
    for _, word in ipairs(list) do quoted[#quoted + 1] = quote(word) end
    return table.concat(quoted, " ")
  end
  write(directory .. "/run", ([[
#!/bin/sh
# run [ARGUMENT ...]
[ $# -gt 0 ] || set -- @command
exec unshare --mount --pid --net --fork --kill-child sh -ec '
  ip link set lo up
  mount --bind @root @root
  mount -t proc proc @root/proc
  mount -o remount,bind,ro @root
  exec chroot @root setpriv --reuid=@user --regid=@group --clear-groups --no-new-privs --inh-caps=-all \
    --bounding-set=-all env -C @workdir @environment "$@"' image @entrypoint "$@"
]]):gsub("@(%l+)", {
    root = stage.root, user = stage.user, group = stage.group, workdir = stage.workdir,
    environment = table.concat(stage.environment, " "), entrypoint = words(stage.entrypoint),
    command = words(stage.command),
  }))
  sh("chmod 755 %s/run", directory)
end

sh("mkdir -p %s/apt", directory)
directory = output("cd %s && pwd -P", directory):gsub("\n", "")

local context = directory .. "/context"
sh("rm -rf %s; mkdir %s; cp -R --parents %s %s", context, context,
  table.concat(dockerfile.context(read(".dockerignore")), " "), context)

local stages, last = {}, nil
for i, stage in ipairs(dockerfile.parse(read("Dockerfile"))) do
  local suite = assert(SUITES[stage.base], stage.base)
  local base, base_key = directory .. "/" .. suite, hash(MIRROR, suite, SLIM, APT, DPKG)
  once(base, base_key, function(root) make_base(root, suite) end)
  stage.root = ("%s/%s"):format(directory, stage.name or "root")
  stages[stage.name or i], last = stage, stage
  add_keys(stage, base_key, context, stages)
  make_stage(stage, base)
end
write_run(last)
