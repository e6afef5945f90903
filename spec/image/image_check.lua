--- The image as build.lua left it, run as Kubernetes would run it. run.sh calls it, as root, which is why it is apart
--- from the specs.
local cjson = require "cjson"
local chart = require "chart"
local dockerfile = require "spec.image.dockerfile"

local read, run_well = chart.read, chart.run_well
local obstacle = os.getenv "IMAGE_OBSTACLE"
if obstacle then
  describe("the image", function() pending("cannot be made and run here: " .. obstacle) end)
  return
end
local directory = assert(os.getenv "IMAGE", "IMAGE names no directory")
local root = directory .. "/root"
local MAX_BYTES = 110 * 1000 * 1000

local stages = dockerfile.parse(read("Dockerfile"))
local image = stages[#stages]

--- A file's bytes, "" while there is none.
local function peek(path)
  local file = io.open(path, "rb")
  local bytes = file and file:read("a")
  if file then file:close() end
  return bytes or ""
end

local function wait_for(what, condition)
  for _ = 1, 200 do
    local found = condition()
    if found then return found end
    run_well("sleep 0.05")
  end
  error("gave up waiting for " .. what)
end

--- Starts the image; its output, its process ids and in the end its status are in files.
local function start(arguments)
  local files = run_well("mktemp -d"):gsub("\n", "")
  assert(os.execute(([[
cd %s
{ env -i PATH="$PATH" %s/run %s & echo $! >pid; wait $!; echo $? >status; } >out 2>&1 </dev/null &]]):format(files,
    directory, arguments)))
  return files
end

local function printed(files)
  return peek(files .. "/out")
end

--- The image's own first process, as the machine numbers it, once it is the program.
local function first_process(files)
  return wait_for("the process", function()
    local outer = peek(files .. "/pid"):match("%d+")
    local inner = outer and peek(("/proc/%s/task/%s/children"):format(outer, outer)):match("%d+")
    return inner and peek(("/proc/%s/cmdline"):format(inner)):match("^/usr/bin/rayclusterscaler\0") and inner
  end)
end

local function status(files)
  return wait_for("the end", function() return tonumber(peek(files .. "/status")) end)
end

local function run(arguments)
  local files = start(arguments)
  local code, text = status(files), printed(files)
  run_well("rm -rf " .. files)
  return code, text
end

describe("the image", function()
  it("names its user by number and starts the program itself, not a shell", function()
    assert.same({ "1000", "1000" }, { image.user, image.group })
    assert.same({ "/usr/bin/rayclusterscaler" }, image.entrypoint)
    assert.same({ "serve" }, image.command)
  end)

  it("is small", function()
    local bytes = tonumber(run_well("du -sxb " .. root):match("%d+"))
    print(("\nThe image has %.1f MB."):format(bytes / 1e6))
    assert.is_true(bytes < MAX_BYTES)
  end)

  it("holds no compiler, no package lists, nothing to fetch things with", function()
    local path = root .. "/usr/bin/"
    assert(io.open(path .. "bash")):close() -- for helm test
    for name in ("cc gcc cpp ld make cmake git curl wget python3 lua5.4 nc ssh"):gmatch("%S+") do
      assert.is_nil(io.open(path .. name), name)
    end
    assert.equal("", run_well(("ls -A %s/var/lib/apt/lists %s/var/cache/apt/archives | grep -v -e : -e partial || true")
      :format(root, root)):gsub("%s", ""))
    assert.equal("", run_well(("find %s/usr/include %s/src -type f 2>/dev/null || true"):format(root, root)))
  end)

  it("finds all of its libraries", function()
    local libraries = run_well(("chroot %s ldd /usr/bin/rayclusterscaler"):format(root))
    assert.matches("libcivetweb", libraries)
    assert.is_nil(libraries:find("not found"))
  end)

  it("holds the repository's scripts, policies and simulator, which its user cannot change", function()
    for _, path in ipairs({ "scripts", "policies", "spec/simulator" }) do
      run_well(("diff -r %s %s%s/%s"):format(path, root, image.workdir, path))
    end
    local writable = ("find %s -xdev -type f \\( -user %s -o -group %s -o -perm -o+w \\)"):format(root, image.user,
      image.group)
    assert.equal("", run_well(writable))
  end)

  it("says its version", function()
    local code, text = run("version")
    local version = read("CMakeLists.txt"):match("project%(rayclusterscaler VERSION (%S+)")
    assert.same({ 0, ("rayclusterscaler %s\n"):format(version) }, { code, text })
  end)

  it("passes its own proof", function()
    local code, text = run("check")
    assert.equal(0, code, text)
  end)

  it("serves the demo as uid 1000 with a root that cannot be written, and ends on SIGTERM", function()
    local files = start("demo")
    finally(function()
      if peek(files .. "/status") == "" then os.execute(("kill -KILL $(cat %s/pid)"):format(files)) end
      os.execute("rm -rf " .. files)
    end)
    local pid = first_process(files)

    local facts = read(("/proc/%s/status"):format(pid))
    assert.matches("\nUid:\t1000\t1000\t1000\t1000\n", facts)
    assert.matches("\nGid:\t1000\t1000\t1000\t1000\n", facts)
    assert.matches("\nGroups:\t%s*\n", facts)
    assert.matches("\nNoNewPrivs:\t1\n", facts)
    for _, set in ipairs({ "Inh", "Prm", "Eff", "Bnd", "Amb" }) do
      assert.matches(("\nCap%s:\t0000000000000000\n"):format(set), facts)
    end
    local mount
    for line in io.lines(("/proc/%s/mountinfo"):format(pid)) do
      mount = line:match("^%d+ %d+ %S+ %S+ / (%S+)") or mount
    end
    assert.matches("^ro,", mount)

    local curl = wait_for("the demo's guide", function() return printed(files):match("(curl %-H [^\n]+/list)\n") end)
    local answer
    wait_for("an answer", function()
      local ok, text = chart.run(("nsenter --target %s --net %s"):format(pid, curl:gsub("^curl", "curl -sSf")))
      answer = text
      return ok
    end)
    assert.is_truthy(cjson.decode(answer).ray_clusters[1].metadata.name)

    run_well("kill -TERM " .. pid)
    assert.equal(0, status(files), printed(files))
  end)
end)
