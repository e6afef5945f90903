--- A table that a rule may read and not change.

local function refuse(self, key)
  error(("a rule may not change a %s (%s)"):format(getmetatable(self), tostring(key)), 2)
end

---@generic T: table
---@param values T
---@param name string what it is
---@return T
return function(values, name)
  return setmetatable({}, {
    __index = values,
    __newindex = refuse,
    __metatable = name,
    __name = name,
    __pairs = function(self)
      return function(_, key)
        return next(values, key)
      end, self, nil
    end,
  })
end
