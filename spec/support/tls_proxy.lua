--- nghttpx before an HTTP/1.1 server: TLS, HTTP/2 where the client takes it, and its certificate when asked for.
local processes = require "processes"

--- Starts it with certificates.new()'s directory before a port of this machine.
---@param options { client: boolean?, http1: boolean?, header: string? }? client: a client certificate is required;
---header: what is added to each request
---@return { port: integer, stop: fun() }
return function(directory, backend, options)
  options = options or {}
  local port = processes.free_port()
  local command = { "nghttpx", "--conf=/dev/null", "--workers=1", "--no-ocsp", "--errorlog-file=/dev/null",
    "--frontend=127.0.0.1," .. port, "--backend=127.0.0.1," .. backend }
  if options.client then
    command[#command + 1] = "--verify-client"
    command[#command + 1] = "--verify-client-cacert=" .. directory .. "/ca.crt"
  end
  if options.header then
    command[#command + 1] = "--add-request-header=" .. options.header
  end
  if options.http1 then
    command[#command + 1] = "--npn-list=http/1.1"
  end
  command[#command + 1] = directory .. "/server.key"
  command[#command + 1] = directory .. "/server.crt"
  local process = processes.start(command, { quiet = true })
  assert(processes.wait_for_port(port), "nghttpx does not listen")
  return { port = port, stop = process.stop }
end
