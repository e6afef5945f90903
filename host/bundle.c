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

enum {
    READ_ATTEMPTS = 20, /* how often a snapshot that changes underneath is begun again */
    MAX_FILES = 256,
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

static struct bytes *read_file(int directory, const char *name, struct buffer *error) {
    int descriptor = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status;
    if (descriptor < 0 || fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
        buffer_format(error, "%s: %s", name, descriptor < 0 ? strerror(errno) : "not a regular file");
        if (descriptor >= 0)
            close(descriptor);
        return NULL;
    }
    struct buffer text = {0};
    char part[16384];
    ssize_t count;
    while ((count = read(descriptor, part, sizeof part)) > 0 && text.length <= BUNDLE_MAX_FILE_BYTES)
        buffer_append(&text, part, (size_t)count);
    close(descriptor);
    struct bytes *bytes = NULL;
    if (count < 0)
        buffer_format(error, "%s: %s", name, strerror(errno));
    else if (text.length > BUNDLE_MAX_FILE_BYTES)
        buffer_format(error, "%s: larger than %d bytes", name, BUNDLE_MAX_FILE_BYTES);
    else if (text.failed || !(bytes = bytes_copy(text.length ? text.data : "", text.length)))
        buffer_text(error, "out of memory");
    buffer_free(&text);
    return bytes;
}

static void sha256_hex(EVP_MD_CTX *context, char out[65]) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    EVP_DigestFinal_ex(context, digest, &length);
    for (unsigned i = 0; i < length && i < 32; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

static bool add_file(struct bundle *bundle, const char *prefix, const char *name, struct bytes *source) {
    struct bundle_file *files = realloc(bundle->files, (bundle->file_count + 1) * sizeof *files);
    if (!files)
        return false;
    bundle->files = files;
    struct bundle_file *file = &files[bundle->file_count];
    file->module = format_name(prefix, '.', name, strlen(name) - 4);
    file->path = format_name(prefix, '/', name, strlen(name));
    file->source = source;
    bundle->file_count++; /* from here on released with the bundle */
    return file->module && file->path;
}

/* A ConfigMap mount is a directory whose files are links into "..data", itself a link that is swapped; reading inside
   the directory that it names gives one version of all files, or fails when that is deleted underneath. */
static int open_version(const char *directory, char *version, size_t size) {
    int descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    version[0] = '\0';
    if (descriptor < 0)
        return -1;
    ssize_t length = readlinkat(descriptor, "..data", version, size - 1);
    if (length < 0)
        return descriptor;
    version[length] = '\0';
    int inner = openat(descriptor, version, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    close(descriptor);
    return inner;
}

/* Names, sizes, inodes and times of a directory's modules: equal before and after reading means nothing moved. */
static uint64_t fingerprint(int directory, char names[][NAME_MAX + 1], size_t *count) {
    uint64_t sum = 14695981039346656037u;
    *count = 0;
    int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = copy < 0 ? NULL : fdopendir(copy);
    if (!list) {
        if (copy >= 0)
            close(copy);
        return 0;
    }
    struct dirent *entry;
    while ((entry = readdir(list)) && *count < MAX_FILES) {
        struct stat status;
        if (!is_module_name(entry->d_name) || fstatat(directory, entry->d_name, &status, 0) != 0)
            continue;
        snprintf(names[(*count)++], NAME_MAX + 1, "%s", entry->d_name);
        uint64_t parts[] = {status.st_ino, (uint64_t)status.st_size, (uint64_t)status.st_mtim.tv_sec,
                            (uint64_t)status.st_mtim.tv_nsec, (uint64_t)status.st_ctim.tv_nsec};
        uint64_t one = 14695981039346656037u;
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
            one = (one ^ parts[i]) * 1099511628211u;
        for (const char *c = entry->d_name; *c; c++)
            one = (one ^ (unsigned char)*c) * 1099511628211u;
        sum += one; /* readdir has no order */
    }
    closedir(list);
    return sum;
}

enum read_result { READ_DONE, READ_MOVED, READ_FAILED };

static enum read_result read_source(struct bundle *bundle, const struct bundle_source *source, struct buffer *error) {
    char version[NAME_MAX + 1], again[NAME_MAX + 1];
    int directory = open_version(source->directory, version, sizeof version);
    if (directory < 0) {
        buffer_format(error, "%s: %s", source->directory, strerror(errno));
        return READ_MOVED; /* "..data" may just be swapped; the caller gives up in the end */
    }
    char(*names)[NAME_MAX + 1] = malloc(MAX_FILES * sizeof *names);
    size_t count = 0, count_after = 0;
    enum read_result result = READ_DONE;
    uint64_t before = names ? fingerprint(directory, names, &count) : 0;
    for (size_t i = 0; names && i < count && result == READ_DONE; i++) {
        struct buffer reason = {0};
        struct bytes *text = read_file(directory, names[i], &reason);
        if (!text || !add_file(bundle, source->prefix, names[i], text)) {
            buffer_format(error, "%s/%s", source->directory, reason.length ? reason.data : "out of memory");
            result = READ_MOVED;
        }
        buffer_free(&reason);
    }
    if (result == READ_DONE && names && fingerprint(directory, names, &count_after) != before)
        result = READ_MOVED;
    close(directory);
    free(names);
    if (!names) {
        buffer_text(error, "out of memory");
        return READ_FAILED;
    }
    int current = open_version(source->directory, again, sizeof again);
    if (current >= 0)
        close(current);
    if (result == READ_DONE && (current < 0 || strcmp(version, again) != 0))
        result = READ_MOVED;
    if (result == READ_DONE && count == 0) {
        buffer_format(error, "%s: holds no .lua file", source->directory);
        return READ_FAILED;
    }
    return result;
}

static int by_module(const void *left, const void *right) {
    return strcmp(((const struct bundle_file *)left)->module, ((const struct bundle_file *)right)->module);
}

static bool hash(struct bundle *bundle) {
    EVP_MD_CTX *all = EVP_MD_CTX_new(), *one = EVP_MD_CTX_new();
    bool made = all && one && EVP_DigestInit_ex(all, EVP_sha256(), NULL) == 1;
    for (size_t i = 0; made && i < bundle->file_count; i++) {
        struct bundle_file *file = &bundle->files[i];
        made = EVP_DigestInit_ex(one, EVP_sha256(), NULL) == 1 &&
               EVP_DigestUpdate(one, file->source->data, file->source->length) == 1;
        if (made)
            sha256_hex(one, file->sha256);
        made = made && EVP_DigestUpdate(all, file->path, strlen(file->path) + 1) == 1 &&
               EVP_DigestUpdate(all, file->sha256, 64) == 1;
    }
    char digest[65] = "";
    if (made)
        sha256_hex(all, digest);
    memcpy(bundle->revision, digest, BUNDLE_REVISION_BYTES);
    EVP_MD_CTX_free(all);
    EVP_MD_CTX_free(one);
    return made;
}

struct bundle *bundle_read(const struct bundle_source *sources, size_t source_count, struct buffer *error) {
    for (int attempt = 0; attempt < READ_ATTEMPTS; attempt++) {
        struct bundle *bundle = calloc(1, sizeof *bundle);
        if (!bundle)
            break;
        atomic_init(&bundle->references, 1);
        enum read_result result = READ_DONE;
        buffer_clear(error);
        for (size_t i = 0; i < source_count && result == READ_DONE; i++)
            result = read_source(bundle, &sources[i], error);
        if (result == READ_DONE) {
            qsort(bundle->files, bundle->file_count, sizeof *bundle->files, by_module);
            if (hash(bundle))
                return bundle;
            result = READ_FAILED;
        }
        bundle_release(bundle);
        if (result == READ_FAILED)
            break;
        struct timespec pause = {0, 5000000};
        nanosleep(&pause, NULL);
    }
    if (!error->length)
        buffer_text(error, "the directories change while they are read");
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
