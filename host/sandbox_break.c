/* Where a thread is when a signal interrupts it: inside Lua's own code or elsewhere. */
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

bool sandbox_in_lua(const void *machine) {
    uintptr_t at = program_counter(machine);
    return at >= lua_code.start && at < lua_code.end;
}
