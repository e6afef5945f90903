#include "bundle.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "purity.h"

enum {
    READ_ATTEMPTS = 20, /* how often a snapshot that changes underneath is begun again */
    READ_PAUSE_MS = 5,
};

static bool is_module_name(const char *name) {
    size_t length = strlen(name);
    return length > 4 && name[0] != '.' && strcmp(name + length - 4, ".lua") == 0 &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == length - 4;
}

static char *format_name(const char *prefix, char separator, const char *name, size_t name_length) {
    size_t size = strlen(prefix) + 1 + name_length + 1;
    char *out = malloc(size);
    if (out)
        snprintf(out, size, "%s%c%.*s", prefix, separator, (int)name_length, name);
    return out;
}

enum result { DONE, MOVED, FAILED }; /* moved: something changed meanwhile, so that another attempt may succeed */

static enum result fail(struct buffer *error, const char *directory, const char *name, int reason) {
    buffer_format(error, "%s%s%s: %s", directory, *name ? "/" : "", name, strerror(reason));
    return reason == ENOENT || reason == ESTALE ? MOVED : FAILED;
}

static enum result read_text(int descriptor, struct buffer *text) {
    char part[16384];
    ssize_t count;
    do {
        count = read(descriptor, part, sizeof part);
        if (count > 0)
            buffer_append(text, part, (size_t)count);
    } while ((count > 0 || (count < 0 && errno == EINTR)) && text->length <= BUNDLE_MAX_FILE_BYTES);
    return count < 0 ? FAILED : DONE;
}

static enum result read_file(int directory, const struct bundle_source *source, const char *name, struct bytes **bytes,
                             struct buffer *error) {
    int descriptor = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status;
    if (descriptor < 0)
        return fail(error, source->directory, name, errno);
    struct buffer text = {0};
    enum result result = FAILED;
    if (fstat(descriptor, &status) != 0)
        fail(error, source->directory, name, errno);
    else if (!S_ISREG(status.st_mode))
        buffer_format(error, "%s/%s: not a regular file", source->directory, name);
    else if (read_text(descriptor, &text) != DONE)
        result = fail(error, source->directory, name, errno);
    else if (text.length > BUNDLE_MAX_FILE_BYTES)
        buffer_format(error, "%s/%s: larger than %d bytes", source->directory, name, BUNDLE_MAX_FILE_BYTES);
    else if (!text.failed && (*bytes = bytes_copy(text.length ? text.data : "", text.length)))
        result = DONE;
    close(descriptor);
    buffer_free(&text);
    return result;
}

static void sha256_hex(EVP_MD_CTX *context, char out[65]) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    EVP_DigestFinal_ex(context, digest, &length);
    for (unsigned i = 0; i < length && i < 32; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

/* Takes over the source. */
static bool add_file(struct bundle *bundle, const char *prefix, const char *name, struct bytes *source) {
    struct bundle_file *files = realloc(bundle->files, (bundle->file_count + 1) * sizeof *files);
    if (!files) {
        bytes_release(source);
        return false;
    }
    bundle->files = files;
    struct bundle_file *file = &files[bundle->file_count++];
    *file = (struct bundle_file){.module = format_name(prefix, '.', name, strlen(name) - 4),
                                 .path = format_name(prefix, '/', name, strlen(name)),
                                 .source = source};
    return file->module && file->path;
}

/* A source at one moment. Two of them are equal when nothing moved in between. */
struct listing {
    int directory;       /* where the files lie */
    struct buffer names; /* of its modules, each with its '\0' */
    size_t count;
    uint64_t mark; /* of the directory's identity and of its modules' names, identities, sizes and times */
};

static void listing_close(struct listing *listing) {
    if (listing->directory >= 0)
        close(listing->directory);
    buffer_free(&listing->names);
}

static uint64_t mix(uint64_t hash, const void *data, size_t length) {
    const unsigned char *bytes = data;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ bytes[i]) * 1099511628211u;
    return hash;
}

static uint64_t mark_of(const char *name, const struct stat *status) {
    const uint64_t parts[] = {status->st_dev,
                              status->st_ino,
                              (uint64_t)status->st_size,
                              (uint64_t)status->st_mtim.tv_sec,
                              (uint64_t)status->st_mtim.tv_nsec,
                              (uint64_t)status->st_ctim.tv_sec,
                              (uint64_t)status->st_ctim.tv_nsec};
    return mix(mix(14695981039346656037u, parts, sizeof parts), name, strlen(name));
}

/* A ConfigMap's mount is a directory whose files are links into "..data", itself a link that is swapped. Inside the
   directory that it names lies one version of all files, until that is deleted. */
static enum result open_source(const struct bundle_source *source, struct listing *listing, struct buffer *error) {
    char version[NAME_MAX + 1] = "";
    struct stat status;
    listing->directory = open(source->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (listing->directory < 0)
        return fail(error, source->directory, "", errno);
    ssize_t length = readlinkat(listing->directory, "..data", version, sizeof version - 1);
    if (length >= 0) {
        version[length] = '\0';
        int inner = openat(listing->directory, version, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int reason = errno;
        close(listing->directory);
        listing->directory = inner;
        if (inner < 0)
            return fail(error, source->directory, "..data", reason);
    }
    if (fstat(listing->directory, &status) != 0)
        return fail(error, source->directory, "", errno);
    const uint64_t identity[] = {status.st_dev, status.st_ino};
    listing->mark = mix(mix(14695981039346656037u, identity, sizeof identity), version, strlen(version));
    return DONE;
}

static enum result list_modules(const struct bundle_source *source, struct listing *listing, struct buffer *error) {
    int copy = openat(listing->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = copy < 0 ? NULL : fdopendir(copy);
    if (!list) {
        int reason = errno;
        if (copy >= 0)
            close(copy);
        return fail(error, source->directory, "", reason);
    }
    enum result result = DONE;
    struct dirent *entry;
    errno = 0;
    while (result == DONE && (entry = readdir(list))) {
        struct stat status;
        if (!is_module_name(entry->d_name))
            continue;
        if (fstatat(listing->directory, entry->d_name, &status, 0) != 0) {
            result = fail(error, source->directory, entry->d_name, errno);
        } else if (++listing->count > BUNDLE_MAX_FILES) {
            buffer_format(error, "%s: holds more than %d .lua files", source->directory, BUNDLE_MAX_FILES);
            result = FAILED;
        }
        listing->mark += mark_of(entry->d_name, &status); /* readdir has no order */
        buffer_append(&listing->names, entry->d_name, strlen(entry->d_name) + 1);
        errno = 0;
    }
    if (result == DONE && errno != 0)
        result = fail(error, source->directory, "", errno);
    closedir(list);
    if (result == DONE && listing->count == 0) {
        buffer_format(error, "%s: holds no .lua file", source->directory);
        result = MOVED; /* it may just be being emptied: a version that was replaced, or a checkout */
    }
    return listing->names.failed ? FAILED : result;
}

static enum result list_source(const struct bundle_source *source, struct listing *listing, struct buffer *error) {
    *listing = (struct listing){.directory = -1};
    enum result result = open_source(source, listing, error);
    return result == DONE ? list_modules(source, listing, error) : result;
}

static enum result read_source(struct bundle *bundle, const struct bundle_source *source, const struct listing *listing,
                               size_t *total, struct buffer *error) {
    const char *end = listing->names.data + listing->names.length;
    for (const char *name = listing->names.data; name < end; name += strlen(name) + 1) {
        struct bytes *text = NULL;
        enum result result = read_file(listing->directory, source, name, &text, error);
        if (result != DONE)
            return result;
        *total += text->length;
        if (!add_file(bundle, source->prefix, name, text))
            return FAILED;
        if (*total > BUNDLE_MAX_BYTES) {
            buffer_format(error, "%s: the files are larger than %d bytes together", source->directory,
                          BUNDLE_MAX_BYTES);
            return FAILED;
        }
    }
    return DONE;
}

static enum result compare(const struct bundle_source *source, const struct listing *before, struct buffer *error) {
    struct listing after;
    enum result result = list_source(source, &after, error);
    if (result == DONE && after.mark != before->mark)
        result = MOVED;
    listing_close(&after);
    return result;
}

/* Lists all sources, reads all, and lists all again: what is unchanged then was there as a whole in between. */
static enum result read_sources(struct bundle *bundle, const struct bundle_source *sources, size_t count,
                                struct buffer *error) {
    struct listing listings[BUNDLE_MAX_SOURCES];
    enum result result = DONE;
    size_t listed = 0, total = 0;
    while (result == DONE && listed < count) {
        result = list_source(&sources[listed], &listings[listed], error);
        listed++;
    }
    for (size_t i = 0; result == DONE && i < count; i++)
        result = read_source(bundle, &sources[i], &listings[i], &total, error);
    for (size_t i = 0; result == DONE && i < count; i++)
        result = compare(&sources[i], &listings[i], error);
    for (size_t i = 0; i < listed; i++)
        listing_close(&listings[i]);
    return result;
}

static int by_module(const void *left, const void *right) {
    return strcmp(((const struct bundle_file *)left)->module, ((const struct bundle_file *)right)->module);
}

static bool hash_file(EVP_MD_CTX *context, struct bundle_file *file) {
    bool made = EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 &&
                EVP_DigestUpdate(context, file->source->data, file->source->length) == 1;
    if (made)
        sha256_hex(context, file->sha256);
    return made;
}

/* Of the names and hashes of the files, rules left out unless they are wanted. */
static bool hash_files(EVP_MD_CTX *context, const struct bundle *bundle, bool rules, char *revision) {
    char digest[65] = "";
    bool made = EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1;
    for (size_t i = 0; made && i < bundle->file_count; i++) {
        const struct bundle_file *file = &bundle->files[i];
        if (rules || !purity_applies(file->module))
            made = EVP_DigestUpdate(context, file->path, strlen(file->path) + 1) == 1 &&
                   EVP_DigestUpdate(context, file->sha256, 64) == 1;
    }
    if (made)
        sha256_hex(context, digest);
    memcpy(revision, digest, BUNDLE_REVISION_BYTES);
    return made;
}

static bool hash(struct bundle *bundle) {
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool made = context;
    for (size_t i = 0; made && i < bundle->file_count; i++)
        made = hash_file(context, &bundle->files[i]);
    made = made && hash_files(context, bundle, true, bundle->revision) &&
           hash_files(context, bundle, false, bundle->code_revision);
    EVP_MD_CTX_free(context);
    return made;
}

struct bundle *bundle_read(const struct bundle_source *sources, size_t source_count, struct buffer *error) {
    enum result result = MOVED;
    for (int attempt = 0; result == MOVED && attempt < READ_ATTEMPTS; attempt++) {
        struct timespec pause = {0, attempt ? READ_PAUSE_MS * 1000000 : 0};
        nanosleep(&pause, NULL);
        buffer_clear(error);
        struct bundle *bundle = calloc(1, sizeof *bundle);
        if (!bundle)
            break;
        atomic_init(&bundle->references, 1);
        result = read_sources(bundle, sources, source_count, error);
        if (result == DONE) {
            qsort(bundle->files, bundle->file_count, sizeof *bundle->files, by_module);
            if (hash(bundle))
                return bundle;
            result = FAILED;
        }
        bundle_release(bundle);
    }
    if (!error->length)
        buffer_text(error, result == MOVED ? "the directories change while they are read" : "out of memory");
    return NULL;
}

struct bundle *bundle_reference(struct bundle *bundle) {
    atomic_fetch_add_explicit(&bundle->references, 1, memory_order_relaxed);
    return bundle;
}

void bundle_release(struct bundle *bundle) {
    if (!bundle || atomic_fetch_sub_explicit(&bundle->references, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < bundle->file_count; i++) {
        free(bundle->files[i].module);
        free(bundle->files[i].path);
        bytes_release(bundle->files[i].source);
    }
    free(bundle->files);
    free(bundle);
}

const struct bundle_file *bundle_find(const struct bundle *bundle, const char *module) {
    size_t low = 0, high = bundle->file_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(bundle->files[middle].module, module);
        if (order == 0)
            return &bundle->files[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}
