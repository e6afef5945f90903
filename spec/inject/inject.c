/* Preloaded into the program, makes what it asks of the system fail at random: memory, sockets, files, threads, curl.
   The file that INJECT names is shared with the spec, which says how often and sees what is in use. */
#undef _FORTIFY_SOURCE

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum kind { MEMORY = 1, SOCKETS = 2, FILES = 4, THREADS = 8, CURL = 16 };

struct control {
    _Atomic uint64_t one_in; /* 0: nothing fails */
    _Atomic uint64_t seed;
    _Atomic uint64_t kinds;
    _Atomic uint64_t injected;
    _Atomic int64_t bytes;   /* allocated and not freed */
    _Atomic uint64_t thread; /* the nth from now on fails; 0: none by its number */
};

static struct control *control;

/* OpenSSL 3.0 does not survive want of memory while it starts: what it asks for it gets. */
static struct range { uintptr_t first, last; } spared[16];
static size_t spared_count;

static int find_spared(struct dl_phdr_info *object, size_t size, void *unused) {
    (void)size, (void)unused;
    static const char *const names[] = {"libcrypto.so", "libssl.so"};
    bool named = false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        named = named || strstr(object->dlpi_name, names[i]);
    if (!named)
        return 0;
    for (size_t i = 0; i < object->dlpi_phnum && spared_count < sizeof spared / sizeof *spared; i++) {
        uintptr_t first = object->dlpi_addr + object->dlpi_phdr[i].p_vaddr;
        if (object->dlpi_phdr[i].p_type == PT_LOAD)
            spared[spared_count++] = (struct range){first, first + object->dlpi_phdr[i].p_memsz};
    }
    return 0;
}

static bool is_spared(const void *caller) {
    for (size_t i = 0; i < spared_count; i++)
        if ((uintptr_t)caller >= spared[i].first && (uintptr_t)caller < spared[i].last)
            return true;
    return false;
}

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *pointer);

/* Says where, and lets it end so. */
static void on_crash(int received) {
    void *frames[32];
    backtrace_symbols_fd(frames, backtrace(frames, 32), STDERR_FILENO);
    raise(received);
}

static void report_crashes(void) {
    static const int crashes[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE};
    struct sigaction action = {.sa_handler = on_crash, .sa_flags = (int)SA_RESETHAND | SA_NODEFER};
    void *frame;
    backtrace(&frame, 1); /* the first call loads a library */
    for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++)
        sigaction(crashes[i], &action, NULL);
}

__attribute__((constructor)) static void map_control(void) {
    const char *path = getenv("INJECT");
    if (!path || strcmp(program_invocation_short_name, "rayclusterscaler") != 0)
        return;
    int descriptor = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
    if (descriptor < 0)
        abort();
    report_crashes();
    dl_iterate_phdr(find_spared, NULL);
    void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    close(descriptor);
    if (mapped == MAP_FAILED)
        abort();
    control = mapped;
}

/* splitmix64 of the seed and how many were drawn before. */
static bool fails(enum kind kind) {
    uint64_t one_in = control ? atomic_load(&control->one_in) : 0; /* read once: the spec may disarm at any time */
    if (!one_in || !(control->kinds & kind))
        return false;
    uint64_t z = atomic_fetch_add(&control->seed, 0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    if ((z ^ z >> 31) % one_in != 0)
        return false;
    atomic_fetch_add(&control->injected, 1);
    return true;
}

static void *counted(void *pointer) {
    if (control && pointer)
        atomic_fetch_add(&control->bytes, (int64_t)malloc_usable_size(pointer));
    return pointer;
}

static void uncount(void *pointer) {
    if (control && pointer)
        atomic_fetch_sub(&control->bytes, (int64_t)malloc_usable_size(pointer));
}

/* civetweb 1.15 reads the options that it could not copy while it starts, so that has what memory it asks for. */
static _Thread_local bool civetweb_starts;

static bool out_of_memory(const void *caller) {
    if (civetweb_starts || is_spared(caller) || !fails(MEMORY))
        return false;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t size) {
    return out_of_memory(__builtin_return_address(0)) ? NULL : counted(__libc_malloc(size));
}

void *calloc(size_t count, size_t size) {
    return out_of_memory(__builtin_return_address(0)) ? NULL : counted(__libc_calloc(count, size));
}

void *realloc(void *old, size_t size) {
    if (size && out_of_memory(__builtin_return_address(0)))
        return NULL;
    size_t before = old ? malloc_usable_size(old) : 0;
    void *new = __libc_realloc(old, size);
    if (control && (new || !size))
        atomic_fetch_sub(&control->bytes, (int64_t)before);
    return counted(new);
}

int posix_memalign(void **out, size_t alignment, size_t size) {
    *out = out_of_memory(__builtin_return_address(0)) ? NULL : counted(__libc_memalign(alignment, size));
    return *out ? 0 : ENOMEM;
}

void *aligned_alloc(size_t alignment, size_t size) {
    return out_of_memory(__builtin_return_address(0)) ? NULL : counted(__libc_memalign(alignment, size));
}

void free(void *pointer) {
    uncount(pointer);
    __libc_free(pointer);
}

/* The next definition of a function, found once. */
#define NEXT(type, name)                                                                                               \
    static __typeof__(type) *real;                                                                                     \
    if (!real) {                                                                                                       \
        void *symbol = dlsym(RTLD_NEXT, #name);                                                                        \
        memcpy(&real, &symbol, sizeof real);                                                                           \
    }

static int failed(int code) {
    errno = code;
    return -1;
}

int socket(int domain, int type, int protocol) {
    return fails(SOCKETS) ? failed(EMFILE) : (int)syscall(SYS_socket, domain, type, protocol);
}

int connect(int descriptor, __CONST_SOCKADDR_ARG address, socklen_t size) {
    NEXT(int(int, const struct sockaddr *, socklen_t), connect);
    return fails(SOCKETS) ? failed(ECONNREFUSED) : real(descriptor, address.__sockaddr__, size);
}

int accept4(int listener, __SOCKADDR_ARG address, socklen_t *restrict size, int flags) {
    NEXT(int(int, struct sockaddr *, socklen_t *, int), accept4);
    return fails(SOCKETS) ? failed(EMFILE) : real(listener, address.__sockaddr__, size, flags);
}

static int open_file(int directory, const char *path, int flags, va_list arguments) {
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
    return fails(FILES) ? failed(EMFILE) : (int)syscall(SYS_openat, directory, path, flags, mode);
}

#define OPEN(name)                                                                                                     \
    int name(const char *path, int flags, ...) {                                                                       \
        va_list arguments;                                                                                             \
        va_start(arguments, flags);                                                                                    \
        int result = open_file(AT_FDCWD, path, flags, arguments);                                                      \
        va_end(arguments);                                                                                             \
        return result;                                                                                                 \
    }
#define OPENAT(name)                                                                                                   \
    int name(int directory, const char *path, int flags, ...) {                                                        \
        va_list arguments;                                                                                             \
        va_start(arguments, flags);                                                                                    \
        int result = open_file(directory, path, flags, arguments);                                                     \
        va_end(arguments);                                                                                             \
        return result;                                                                                                 \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

static bool is_counted_out(void) {
    return control && atomic_load(&control->thread) && atomic_fetch_sub(&control->thread, 1) == 1;
}

int pthread_create(pthread_t *restrict thread, const pthread_attr_t *restrict attributes, void *(*run)(void *),
                   void *restrict context) {
    NEXT(int(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *), pthread_create);
    return is_counted_out() || fails(THREADS) ? EAGAIN : real(thread, attributes, run, context);
}

/* Without the headers of civetweb and curl: this stands in for any version of them. */
void *mg_start2(void *init, void *error);
void *mg_start2(void *init, void *error) {
    NEXT(void *(void *, void *), mg_start2);
    civetweb_starts = true;
    void *context = real(init, error);
    civetweb_starts = false;
    return context;
}

void *curl_easy_init(void);
void *curl_multi_init(void);
int curl_multi_add_handle(void *multi, void *easy);
int curl_multi_perform(void *multi, int *running);

void *curl_easy_init(void) {
    NEXT(void *(void), curl_easy_init);
    return fails(CURL) ? NULL : real();
}

void *curl_multi_init(void) {
    NEXT(void *(void), curl_multi_init);
    return fails(CURL) ? NULL : real();
}

int curl_multi_add_handle(void *multi, void *easy) {
    NEXT(int(void *, void *), curl_multi_add_handle);
    return fails(CURL) ? 3 : real(multi, easy); /* CURLM_OUT_OF_MEMORY */
}

int curl_multi_perform(void *multi, int *running) {
    NEXT(int(void *, int *), curl_multi_perform);
    return fails(CURL) ? 3 : real(multi, running);
}
