/* JSON text through json.decode and json.encode: nothing is taken that the strict reader refuses, another decoder reads
   the same, and what is written again reads the same. */
#include "json_span.h"
#include "lua_values.h"

static const char chunk[] =
    LUA_EQUAL "local json = ...\n"
              "local dkjson = require 'dkjson'\n"
              "local function alike(ours, theirs)\n"
              "  if type(ours) == 'number' and type(theirs) == 'number' then return ours + 0.0 == theirs + 0.0 end\n"
              "  if type(ours) ~= 'table' or type(theirs) ~= 'table' then return ours == theirs end\n"
              "  for key, value in pairs(ours) do if not alike(value, theirs[key]) then return false end end\n"
              "  for key in pairs(theirs) do if ours[key] == nil then return false end end\n"
              "  return true\n"
              "end\n"
              "return function(text)\n"
              "  local value, why = json.decode(text)\n"
              "  if value == nil then return nil, why end\n"
              "  assert(alike(value, dkjson.decode(text, 1, json.null)), 'dkjson reads something else')\n"
              "  local written = json.encode(value)\n"
              "  assert(equal(value, (json.decode(written))), written)\n"
              "  return written\n"
              "end";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static lua_State *L;
    if (!L)
        L = lua_with_json(chunk);
    if (size > 16384)
        return 0;
    lua_settop(L, 1);
    lua_pushvalue(L, 1);
    lua_pushlstring(L, (const char *)data, size);
    if (lua_pcall(L, 1, 2, 0) != LUA_OK) {
        fprintf(stderr, "%s\n", lua_tostring(L, -1));
        abort();
    }
    bool valid = json_valid((struct span){(const char *)data, size}, JSON_MAX_DEPTH, true, NULL);
    if (lua_isnil(L, 2)) {
        const char *why = lua_tostring(L, 3);
        expect(why && why[0] && (!valid || strcmp(why, "a number is out of range") == 0));
    } else {
        struct span written = {0};
        written.data = lua_tolstring(L, 2, &written.length);
        expect(valid && json_valid(written, JSON_MAX_DEPTH, true, NULL));
    }
    return 0;
}
