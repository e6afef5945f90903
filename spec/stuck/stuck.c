/* Preloaded into the program, a C function below Lua that does not come back: Lua compares strings by strcoll, and for
   the text that STUCK names it spins for ever. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

int strcoll(const char *left, const char *right) {
    const char *text = getenv("STUCK");
    if (text && strcmp(left, text) == 0)
        for (volatile unsigned long turns = 0;; turns++) {
        }
    int (*compare)(const char *left, const char *right);
    *(void **)&compare = dlsym(RTLD_NEXT, "strcoll");
    return compare(left, right);
}
