/* The input builds a Lua value; packed and unpacked it is the same. */
#include "bind/pack.h"
#include "bind/json.h"
#include "lua_values.h"

static const char chunk[] = "local json = ...\n" LUA_EQUAL "return equal";

struct input {
    const uint8_t *at, *end;
};

static uint8_t next(struct input *input) {
    return input->at < input->end ? *input->at++ : 0;
}

static uint64_t next_word(struct input *input) {
    uint64_t word = 0;
    for (int i = 0; i < 8; i++)
        word = word << 8 | next(input);
    return word;
}

static void push_text(lua_State *L, struct input *input) {
    size_t left = (size_t)(input->end - input->at), length = next(input);
    if (length >= left)
        length = left ? left - 1 : 0;
    lua_pushlstring(L, (const char *)input->at, length);
    input->at += length;
}

static void push_value(lua_State *L, struct input *input, int depth);

static void push_table(lua_State *L, struct input *input, int depth, bool array) {
    lua_newtable(L);
    for (int left = next(input) & 15; left > 0 && input->at < input->end; left--) {
        if (array)
            lua_pushinteger(L, (lua_Integer)lua_rawlen(L, -1) + 1);
        else
            push_value(L, input, depth + 1);
        if (lua_isnil(L, -1) || (lua_type(L, -1) == LUA_TNUMBER && lua_tonumber(L, -1) != lua_tonumber(L, -1)) ||
            lua_istable(L, -1)) {
            lua_pop(L, 1);
            continue;
        }
        push_value(L, input, depth + 1);
        lua_rawset(L, -3);
    }
    if (array)
        bind_json_mark_array(L, -1);
}

static void push_value(lua_State *L, struct input *input, int depth) {
    uint64_t word;
    double number;
    luaL_checkstack(L, 8, NULL);
    switch (next(input) % 9) {
    case 0:
        lua_pushnil(L);
        break;
    case 1:
        lua_pushboolean(L, next(input) & 1);
        break;
    case 2:
        lua_pushinteger(L, (lua_Integer)next_word(input));
        break;
    case 3:
        word = next_word(input);
        memcpy(&number, &word, sizeof number);
        lua_pushnumber(L, number);
        break;
    case 4:
        push_text(L, input);
        break;
    case 5:
        lua_pushlightuserdata(L, NULL);
        break;
    case 6:
        lua_pushinteger(L, next(input));
        break;
    default:
        if (depth > 40)
            lua_pushboolean(L, 1);
        else
            push_table(L, input, depth, next(input) & 1);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static lua_State *L;
    if (!L)
        L = lua_with_json(chunk);
    struct input input = {data, data + size};
    struct buffer packed = {0};
    lua_settop(L, 1);
    lua_pushvalue(L, 1);
    push_value(L, &input, 0);
    if (!bind_pack(L, 3, &packed)) {
        char *exact = exact_copy(packed.data, packed.length);
        bind_unpack(L, (struct span){exact, packed.length});
        free(exact);
        expect(lua_gettop(L) == 4);
        lua_call(L, 2, 1);
        expect(lua_toboolean(L, -1));
    }
    buffer_free(&packed);
    return 0;
}
