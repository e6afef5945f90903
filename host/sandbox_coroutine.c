/* Coroutines that the watchdog's interrupt reaches: the sandbox knows which one runs and who resumed it. */
#include <lauxlib.h>

#include "sandbox_state.h"

/* Between the two, `co` is the running coroutine. */
static void begin(lua_State *L, lua_State *co, struct frame *frame) {
    struct sandbox *sandbox = sandbox_of(L);
    sandbox_check(L);
    const char *here = __builtin_frame_address(0);
    if (sandbox->stack_start && sandbox->stack_start - here > SANDBOX_COROUTINE_STACK_BYTES)
        luaL_error(L, "C stack overflow: too many coroutines inside each other");
    frame->L = co;
    frame->outer = sandbox->frame;
    atomic_signal_fence(memory_order_release);
    sandbox->frame = frame;
}

static void end(lua_State *L, struct frame *frame) {
    sandbox_of(L)->frame = frame->outer;
}

/* Moves arguments over and runs `co`; the number of results on L, or -1 with the error on L. */
static int resume(lua_State *L, lua_State *co, int arguments) {
    struct frame frame;
    int results;
    if (!lua_checkstack(co, arguments)) {
        lua_pushliteral(L, "too many arguments to resume");
        return -1;
    }
    begin(L, co, &frame);
    lua_xmove(L, co, arguments);
    int status = lua_resume(co, L, arguments, &results);
    end(L, &frame);
    if (status != LUA_OK && status != LUA_YIELD) {
        lua_xmove(co, L, 1);
        sandbox_pass_on(L, status);
        return -1;
    }
    if (!lua_checkstack(L, results + 1)) {
        lua_pop(co, results);
        lua_pushliteral(L, "too many results to resume");
        return -1;
    }
    lua_xmove(co, L, results);
    return results;
}

static lua_State *check_coroutine(lua_State *L) {
    lua_State *co = lua_tothread(L, 1);
    luaL_argexpected(L, co, 1, "coroutine");
    return co;
}

int sandbox_coroutine_resume(lua_State *L) {
    lua_State *co = check_coroutine(L);
    int results = resume(L, co, lua_gettop(L) - 1);
    bool ok = results >= 0;
    if (!ok)
        results = 1;
    lua_pushboolean(L, ok);
    lua_insert(L, -(results + 1));
    return results + 1;
}

/* Ends `co` and closes its variables; false with the error on top of `co`. */
static int finish(lua_State *L, lua_State *co) {
    struct frame frame;
    begin(L, co, &frame);
    int status = lua_resetthread(co);
    end(L, &frame);
    return status;
}

static int f_wrapped(lua_State *L) {
    lua_State *co = lua_tothread(L, lua_upvalueindex(1));
    int results = resume(L, co, lua_gettop(L));
    if (results >= 0)
        return results;
    int status = lua_status(co);
    if (status != LUA_OK && status != LUA_YIELD) { /* the error ended it */
        status = finish(L, co);
        lua_xmove(co, L, 1);
        sandbox_pass_on(L, status);
    }
    if (lua_type(L, -1) == LUA_TSTRING) {
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

int sandbox_coroutine_wrap(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_State *co = lua_newthread(L);
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    lua_pushcclosure(L, f_wrapped, 1);
    return 1;
}

int sandbox_coroutine_close(lua_State *L) {
    lua_State *co = check_coroutine(L);
    lua_Debug activation;
    if (co == L)
        return luaL_error(L, "cannot close a running coroutine");
    if (lua_status(co) == LUA_OK && lua_getstack(co, 0, &activation))
        return luaL_error(L, "cannot close a normal coroutine");
    int status = finish(L, co);
    if (status == LUA_OK) {
        lua_pushboolean(L, 1);
        return 1;
    }
    lua_xmove(co, L, 1);
    sandbox_pass_on(L, status);
    lua_pushboolean(L, 0);
    lua_insert(L, -2);
    return 2;
}
