---@meta kube
--- Kubernetes objects. An object is never decoded and encoded again: it carries the API server's own bytes, and
--- changes are small merge patches.
local kube = {}

--- What went wrong, typed. `code` is one of:
--- `not_found` (404) · `conflict` (409) · `invalid` (422, or 400/403 from an admission webhook: the cluster refuses the
--- change) · `forbidden` (403: our own RBAC lacks a right) · `unauthorized` (401) · `gone` (410) ·
--- `throttled` (429, or 503 with Retry-After) · `unavailable` (other 5xx, connection refused, not HTTP, TLS) ·
--- `timeout` (the request's deadline) · `bad_answer` (not the JSON that was asked for, or too large)
---@class kube.failure
---@field code string
---@field message string one sentence, the API server's own where it sent one
---@field status integer? HTTP status, when there was an answer
---@field reason string? the Status' reason
---@field causes { field: string?, message: string, reason: string? }[]? of a refusal
---@field retry_after integer? seconds

--- A read-only object with the API server's own bytes. It may stand in an answer's body.
---@class kube.object
---@field name string
---@field namespace string
---@field uid string
---@field resource_version string
---@field labels table<string, string> read-only; `labels[name]` and `pairs` work, it is no plain table
local object = {}

--- A part of the object as Lua values, by dotted path of keys: `object:decode("spec.autoscaling")`.
--- nil when it is not there.
---@param path string
---@return any
function object:decode(path) end

--- The object's bytes.
---@return string
function object:text() end

---@class kube.resource
local resource = {}

--- A resource of one namespace. With `watch`, declared while the bundle loads, reads come from the host's own copy; as
--- long as that is not current, they come from the API server.
---@param options { group: string, version: string, plural: string, namespace: string?, watch: boolean?, index: string? }
---namespace is COMPUTE_NAMESPACE unless given; group "" is the core group; index: a label by whose value the copy finds
---objects without a look at the others (`label_selector = "<label>=<value>"`, `like`, `samples`)
---@return kube.resource
function kube.resource(options) end

---@param name string
---@param options { fresh: boolean? }? fresh: ask the API server, never a copy
---@return kube.object?
---@return kube.failure?
function resource:get(name, options) end

--- Every object, in pages, sorted by name. Other selectors than one value of the indexed label go to the API server.
---@param options { label_selector: string?, field_selector: string?, fresh: boolean?, like: kube.object[]? }?
---like: only those that have the indexed label's value of one of these, or are without it as one of these is
---@return kube.object[]?
---@return kube.failure?
function resource:list(options) end

--- One object of each value of the indexed label, and one without it if there is any; in no order. nil as long as the
--- copy is not current. counted: the second result says how many objects each stands for, at the cost of a look at all.
---@param counted boolean?
---@return kube.object[]?
---@return integer[]?
function resource:samples(counted) end

--- Sends a merge patch (RFC 7396). Integers of the table are sent as integers.
--- An integral float is sent as an integer too: a `5.0` would be refused. Use `json.null` to remove a field.
---@param name string
---@param patch table
---@param options { field_manager: string?, dry_run: boolean? }?
---@return kube.object?
---@return kube.failure?
function resource:merge_patch(name, patch, options) end

---@param name string
---@param options { uid: string?, resource_version: string? }? preconditions
---@return true?
---@return kube.failure?
function resource:delete(name, options) end

return kube
