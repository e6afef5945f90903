--- Certificates for TLS specs: an authority, what it signed, and another authority.
local certificates = {}

local function run(command)
  assert(os.execute(command .. " >/dev/null 2>&1"), command)
end

--- A directory with ca.crt, other.crt (a stranger's authority), server.crt for the name api.example only, client.crt,
--- and the keys beside them.
---@return { directory: string, text: fun(name: string): string, remove: fun() }
function certificates.new()
  local directory = os.tmpname()
  os.remove(directory)
  run("mkdir " .. directory)
  local function path(name)
    return directory .. "/" .. name
  end
  local key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "
  for _, name in ipairs { "ca", "other" } do
    run(("openssl req -x509 %s%s -out %s -subj /CN=%s -days 2"):format(key, path(name .. ".key"), path(name .. ".crt"),
      name))
  end
  for name, extension in pairs { server = "subjectAltName=DNS:api.example", client = "extendedKeyUsage=clientAuth" } do
    local file = assert(io.open(path(name .. ".ext"), "w"))
    file:write(extension, "\n")
    file:close()
    run(("openssl req %s%s -out %s -subj /CN=%s"):format(key, path(name .. ".key"), path(name .. ".csr"), name))
    run(("openssl x509 -req -in %s -CA %s -CAkey %s -set_serial %d -out %s -days 2 -extfile %s"):format(
      path(name .. ".csr"), path("ca.crt"), path("ca.key"), #name, path(name .. ".crt"), path(name .. ".ext")))
  end
  local made = { directory = directory }
  function made.text(name)
    local file = assert(io.open(path(name)))
    local text = file:read("a")
    file:close()
    return text
  end
  function made.remove()
    run("rm -rf " .. directory)
  end
  return made
end

return certificates
