/* What ends a run from within a signal handler, on the run's own thread. */
#include <dlfcn.h>
#include <link.h>
#include <signal.h>
#include <ucontext.h>

#include "sandbox_state.h"

static struct { uintptr_t start, end; } lua_code; /* written before the first run */

static uintptr_t program_counter(const void *machine) {
    const ucontext_t *context = machine;
#if defined(__x86_64__)
    return (uintptr_t)context->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    return (uintptr_t)context->uc_mcontext.pc;
#else
    (void)context;
    return 0;
#endif
}

static int look_for_lua(struct dl_phdr_info *object, size_t size, void *wanted) {
    (void)size;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        uintptr_t start = object->dlpi_addr + segment->p_vaddr;
        uintptr_t end = start + segment->p_memsz;
        uintptr_t address = (uintptr_t)wanted;
        if (segment->p_type == PT_LOAD && (segment->p_flags & PF_X) && address >= start && address < end) {
            /* Linked into one object with this program, Lua's code cannot be told from the rest. */
            uintptr_t own = (uintptr_t)look_for_lua;
            if (own < start || own >= end) {
                lua_code.start = start;
                lua_code.end = end;
            }
            return 1;
        }
    }
    return 0;
}

void sandbox_find_lua(void) {
    dl_iterate_phdr(look_for_lua, dlsym(RTLD_DEFAULT, "lua_newstate"));
}

static bool in_lua(const void *machine) {
    uintptr_t at = program_counter(machine);
    return at >= lua_code.start && at < lua_code.end;
}

/* lua_sethook is made for this; the hook raises at every instruction, so what catches the error gets no further than
   its own next one.

   What no hook reaches is an instruction that takes seconds inside Lua itself: growing a table whose keys were chosen
   to collide, collecting a chain of weak keys. For 20,000 keys each takes seconds and grows with the square. Only when
   a run is still there well after its limit, and in Lua's own code (so that no lock of anyone else is held), the error
   is raised from here: what Lua was doing stays half done. Such a state runs no collection any more and is fit only for
   closing, which frees all that it still knows; large blocks that it no longer knows are freed in sandbox_close. */
void sandbox_interrupt(struct watch *watch, int64_t over_ms, const void *machine) {
    struct sandbox *sandbox = (struct sandbox *)watch; /* its first member */
    for (const struct frame *frame = sandbox->frame; frame; frame = frame->outer)
        lua_sethook(frame->L, sandbox_hook, LUA_MASKCOUNT, 1);
    if (over_ms < SANDBOX_BREAK_MS || !in_lua(machine))
        return;
    lua_State *L = sandbox->frame->L;
    lua_Debug activation;
    if (!lua_getstack(L, 0, &activation)) /* not inside of a call: nobody would catch the error */
        return;
    if (lua_gc(L, LUA_GCSTOP) != 0)
        return;
    sandbox->torn = true;
    sandbox_note(sandbox, sandbox_time_over);
    sandbox_say_traceback(sandbox, L, 0);
    sandbox->unlimited = true; /* the emergency collection of a full state must not start either */
    /* Lua knows its memory error by this very text, and raises it without a message handler. */
    lua_pushstring(L, "not enough memory");
    lua_error(L);
}
