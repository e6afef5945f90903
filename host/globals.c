#include "globals.h"

#include <lua.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"

_Static_assert(LUA_VERSION_NUM == 504, "the layout of compiled code, below, is that of Lua 5.4");

/* ldump.c, lopcodes.h and lobject.h of Lua 5.4. */
static const char header[] = LUA_SIGNATURE "\x54\x00\x19\x93\r\n\x1a\n\x04\x08\x08";
enum {
    HEADER_BYTES = sizeof header - 1 + 8 + 8, /* behind it an integer and a number */
    UPVALUE_BYTES = 3,
    CODE_BYTES = 4,
    ABSOLUTE_LINE = -0x80,
    MAX_NESTING = 250, /* the parser allows 200 */
    CONSTANT_FLOAT = 0x13,
    CONSTANT_INTEGER = 0x03,
    CONSTANT_SHORT_STRING = 0x04,
    CONSTANT_LONG_STRING = 0x14,
    OP_LOADK = 3,
    OP_LOADKX = 4,
    OP_GETUPVAL = 9,
    OP_GETTABUP = 11,
    OP_GETTABLE = 12,
    OP_SETTABUP = 15,
    OP_SETTABLE = 16,
    OP_EXTRAARG = 82,
};

struct reader {
    const char *at, *end;
    bool failed;
    struct global_uses *found;
};

static const char *take(struct reader *reader, size_t length) {
    if (reader->failed || length > (size_t)(reader->end - reader->at)) {
        reader->failed = true;
        return NULL;
    }
    const char *taken = reader->at;
    reader->at += length;
    return taken;
}

static unsigned take_byte(struct reader *reader) {
    const char *byte = take(reader, 1);
    return byte ? (unsigned char)*byte : 0;
}

static size_t take_size(struct reader *reader) {
    size_t size = 0;
    unsigned byte;
    do {
        byte = take_byte(reader);
        size = size << 7 | (byte & 0x7f);
    } while (!(byte & 0x80) && !reader->failed);
    return size;
}

/* A number of things of at least one byte each: never more than bytes are left. */
static size_t take_count(struct reader *reader) {
    size_t count = take_size(reader);
    if (count > (size_t)(reader->end - reader->at))
        reader->failed = true;
    return reader->failed ? 0 : count;
}

static struct span take_string(struct reader *reader) {
    size_t size = take_size(reader);
    if (size == 0)
        return (struct span){NULL, 0};
    return (struct span){take(reader, size - 1), size - 1};
}

struct function {
    const char *code;
    size_t code_count;
    struct span *constants; /* without data where it is no string */
    size_t constant_count;
    bool global[256]; /* by upvalue: is the table of globals */
    size_t first_use; /* whose lines are still those of instructions */
    int first_line;
};

static uint32_t instruction_at(const struct function *function, size_t index) {
    uint32_t instruction;
    memcpy(&instruction, function->code + index * CODE_BYTES, CODE_BYTES);
    return instruction;
}

static unsigned opcode(uint32_t instruction) {
    return instruction & 0x7f;
}
static unsigned operand_a(uint32_t instruction) {
    return instruction >> 7 & 0xff;
}
static unsigned operand_b(uint32_t instruction) {
    return instruction >> 16 & 0xff;
}
static unsigned operand_c(uint32_t instruction) {
    return instruction >> 24;
}
static uint32_t operand_bx(uint32_t instruction) {
    return instruction >> 15;
}

static void add_use(struct reader *reader, const struct function *function, size_t constant, size_t index,
                    bool assigned) {
    struct global_uses *found = reader->found;
    if (constant >= function->constant_count || !function->constants[constant].data)
        return;                                     /* _ENV[1] */
    if ((found->count & (found->count - 1)) == 0) { /* full: room is a power of two */
        struct global_use *uses = realloc(found->uses, (found->count ? 2 * found->count : 1) * sizeof *uses);
        if (!uses) {
            reader->failed = true;
            return;
        }
        found->uses = uses;
    }
    found->uses[found->count++] = (struct global_use){.name = function->constants[constant].data,
                                                      .length = function->constants[constant].length,
                                                      .line = (int)index,
                                                      .assigned = assigned};
}

/* In a function of more than 255 constants, the globals and a name are loaded into registers first: GETUPVAL table,
   LOADK key, and somewhere behind GETTABLE or SETTABLE with both. */
static void find_indirect(struct reader *reader, const struct function *function, size_t index) {
    if (index + 2 >= function->code_count)
        return;
    uint32_t load = instruction_at(function, index + 1), extra = instruction_at(function, index + 2);
    size_t constant = operand_bx(load);
    if (opcode(load) == OP_LOADKX && opcode(extra) == OP_EXTRAARG)
        constant = extra >> 7;
    else if (opcode(load) != OP_LOADK)
        return;
    unsigned table = operand_a(instruction_at(function, index)), key = operand_a(load);
    for (size_t i = index + 2; i < function->code_count; i++) {
        uint32_t use = instruction_at(function, i);
        bool read = opcode(use) == OP_GETTABLE && operand_b(use) == table && operand_c(use) == key;
        bool write = opcode(use) == OP_SETTABLE && operand_a(use) == table && operand_b(use) == key;
        if (read || write) {
            add_use(reader, function, constant, index, write);
            return;
        }
    }
}

static void find_uses(struct reader *reader, const struct function *function) {
    for (size_t i = 0; i < function->code_count && !reader->failed; i++) {
        uint32_t instruction = instruction_at(function, i);
        unsigned a = operand_a(instruction), b = operand_b(instruction), c = operand_c(instruction);
        switch (opcode(instruction)) {
        case OP_GETTABUP:
            if (function->global[b])
                add_use(reader, function, c, i, false);
            break;
        case OP_SETTABUP:
            if (function->global[a])
                add_use(reader, function, b, i, true);
            break;
        case OP_GETUPVAL:
            if (function->global[b])
                find_indirect(reader, function, i);
            break;
        default:
            break;
        }
    }
}

/* Behind the nested functions come the lines: turns the uses' instructions into them. Uses lie in order. */
static void take_lines(struct reader *reader, const struct function *function, size_t last_use) {
    size_t count = take_count(reader);
    const signed char *steps = (const signed char *)take(reader, count);
    size_t absolute_count = take_count(reader);
    size_t next_absolute = 0, pc = 0;
    int line = function->first_line;
    for (size_t use = function->first_use; use < last_use && !reader->failed; use++) {
        struct global_use *found = &reader->found->uses[use];
        for (; pc <= (size_t)found->line && pc < count; pc++) {
            if (steps[pc] != ABSOLUTE_LINE) {
                line += steps[pc];
                continue;
            }
            take_size(reader); /* pc */
            line = (int)take_size(reader);
            next_absolute++;
        }
        found->line = line;
    }
    for (; next_absolute < absolute_count && !reader->failed; next_absolute++) {
        take_size(reader);
        take_size(reader);
    }
}

static void skip_names(struct reader *reader) {
    for (size_t locals = take_count(reader); locals > 0 && !reader->failed; locals--) {
        take_string(reader);
        take_size(reader);
        take_size(reader);
    }
    for (size_t upvalues = take_count(reader); upvalues > 0 && !reader->failed; upvalues--)
        take_string(reader);
}

static void take_constants(struct reader *reader, struct function *function) {
    size_t count = take_count(reader);
    function->constants = calloc(count ? count : 1, sizeof *function->constants);
    if (!function->constants)
        reader->failed = true;
    for (size_t i = 0; i < count && !reader->failed; i++) {
        switch (take_byte(reader)) {
        case CONSTANT_FLOAT:
        case CONSTANT_INTEGER:
            take(reader, 8);
            break;
        case CONSTANT_SHORT_STRING:
        case CONSTANT_LONG_STRING:
            function->constants[i] = take_string(reader);
            break;
        default: /* nil, true, false: nothing more */
            break;
        }
        function->constant_count = i + 1;
    }
}

static void take_upvalues(struct reader *reader, struct function *function, const struct function *outer) {
    size_t count = take_count(reader);
    for (size_t i = 0; i < count && !reader->failed; i++) {
        const char *upvalue = take(reader, UPVALUE_BYTES);
        if (!upvalue || i >= sizeof function->global / sizeof *function->global)
            continue;
        bool of_stack = upvalue[0] != 0;
        /* The main chunk's first upvalue is the table of globals; `local _ENV` is not. */
        function->global[i] = outer ? !of_stack && outer->global[(unsigned char)upvalue[1]] : i == 0;
    }
}

static void take_function(struct reader *reader, const struct function *outer, int depth) {
    struct function *function = calloc(1, sizeof *function);
    if (!function || depth > MAX_NESTING) {
        free(function);
        reader->failed = true;
        return;
    }
    take_string(reader); /* source */
    function->first_line = (int)take_size(reader);
    take_size(reader); /* last line */
    take(reader, 3);   /* parameters, varargs, stack */
    function->code_count = take_count(reader);
    function->code = take(reader, function->code_count * CODE_BYTES);
    take_constants(reader, function);
    take_upvalues(reader, function, outer);
    function->first_use = reader->found->count;
    if (!reader->failed)
        find_uses(reader, function);
    size_t last_use = reader->found->count;
    for (size_t nested = take_count(reader); nested > 0 && !reader->failed; nested--)
        take_function(reader, function, depth + 1);
    take_lines(reader, function, last_use);
    skip_names(reader);
    free(function->constants);
    free(function);
}

static int by_line(const void *left, const void *right) {
    const struct global_use *a = left, *b = right;
    if (a->line != b->line)
        return a->line < b->line ? -1 : 1;
    return a->name < b->name ? -1 : a->name > b->name;
}

bool globals_find(const char *code, size_t length, struct global_uses *found) {
    struct reader reader = {.at = code, .end = code + length, .found = found};
    *found = (struct global_uses){0};
    const char *start = take(&reader, HEADER_BYTES);
    if (!start || memcmp(start, header, sizeof header - 1) != 0)
        return false;
    take_byte(&reader); /* number of upvalues */
    take_function(&reader, NULL, 0);
    if (reader.failed || reader.at != reader.end) {
        free(found->uses);
        *found = (struct global_uses){0};
        return false;
    }
    if (found->count)
        qsort(found->uses, found->count, sizeof *found->uses, by_line);
    return true;
}
