/* A state's memory: what it may have, and what it still holds when it can no longer free it itself. */
#include <stdlib.h>
#include <string.h>

#include "sandbox_state.h"

static void *large_link(struct sandbox *sandbox, struct large *large) {
    if (!large)
        return NULL;
    large->previous = NULL;
    large->next = sandbox->large;
    if (large->next)
        large->next->previous = large;
    sandbox->large = large;
    return large + 1;
}

static struct large *large_unlink(struct sandbox *sandbox, void *block) {
    struct large *large = (struct large *)block - 1;
    if (large->previous)
        large->previous->next = large->next;
    else
        sandbox->large = large->next;
    if (large->next)
        large->next->previous = large->previous;
    return large;
}

static void *resize(struct sandbox *sandbox, void *block, size_t before, size_t after) {
    if (before < SANDBOX_LARGE_BYTES && after < SANDBOX_LARGE_BYTES)
        return realloc(block, after);
    if (before >= SANDBOX_LARGE_BYTES && after >= SANDBOX_LARGE_BYTES) {
        struct large *old = large_unlink(sandbox, block);
        struct large *new = realloc(old, sizeof *new + after);
        if (!new)
            large_link(sandbox, old);
        return large_link(sandbox, new);
    }
    void *result =
        after < SANDBOX_LARGE_BYTES ? malloc(after) : large_link(sandbox, malloc(sizeof(struct large) + after));
    if (result && block) {
        memcpy(result, block, before < after ? before : after);
        free(before < SANDBOX_LARGE_BYTES ? block : large_unlink(sandbox, block));
    }
    return result;
}

/* Fails an allocation, and keeps what a memory error cannot tell: where it happened. */
static void *refuse(struct sandbox *sandbox) {
    if (sandbox->message_length > 0 && !sandbox->refused)
        return NULL; /* the run is ending by another error, which is what counts */
    lua_Debug activation;
    bool inside = sandbox->frame && lua_getstack(sandbox->frame->L, 0, &activation);
    if (sandbox->refused && !inside)
        return NULL; /* Lua tidies up behind the error, which knew its place */
    sandbox->refused = true;
    sandbox_note(sandbox, "memory limit exceeded");
    if (inside)
        sandbox_say_traceback(sandbox, sandbox->frame->L, 0);
    return NULL;
}

void *sandbox_allocate(void *context, void *block, size_t old_size, size_t new_size) {
    struct sandbox *sandbox = context;
    size_t before = block ? old_size : 0; /* for a new block, old_size is its kind */
    size_t memory = atomic_load_explicit(&sandbox->memory, memory_order_relaxed) - before;
    void *result = NULL;
    if (new_size == 0) {
        if (block)
            free(before < SANDBOX_LARGE_BYTES ? block : large_unlink(sandbox, block));
    } else {
        if (new_size > before && !sandbox->unlimited) {
            if (new_size > sandbox->memory_limit || memory > sandbox->memory_limit - new_size)
                return refuse(sandbox);
            /* Comparing strings or changing their case is one instruction: their size bounds it. */
            if (!block && old_size == LUA_TSTRING && new_size > sandbox->string_limit)
                return refuse(sandbox);
        }
        result = resize(sandbox, block, before, new_size);
        if (!result)
            return NULL;
    }
    atomic_store_explicit(&sandbox->memory, memory + new_size, memory_order_relaxed);
    return result;
}

void sandbox_free_large(struct sandbox *sandbox) {
    while (sandbox->large) {
        struct large *next = sandbox->large->next;
        free(sandbox->large);
        sandbox->large = next;
    }
}
