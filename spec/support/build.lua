--- The build that specs run: BUILD_DIR's, else the plain one.
local build = { directory = os.getenv "BUILD_DIR" or "build" }

--- Sanitizers make it slow, and want to be loaded before anything else.
build.sanitized = build.directory ~= "build"

return build
