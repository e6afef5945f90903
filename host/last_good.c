#include "last_good.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool write_file(int directory, const char *name, const struct bytes *text) {
    int descriptor = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (descriptor < 0)
        return false;
    size_t done = 0;
    while (done < text->length) {
        ssize_t count = write(descriptor, text->data + done, text->length - done);
        if (count < 0 && errno != EINTR)
            break;
        done += count > 0 ? (size_t)count : 0;
    }
    bool written = done == text->length && fsync(descriptor) == 0;
    return close(descriptor) == 0 && written;
}

static bool write_source(int version, const struct bundle *bundle, const char *prefix) {
    if (mkdirat(version, prefix, 0755) != 0)
        return false;
    int directory = openat(version, prefix, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return false;
    size_t length = strlen(prefix);
    bool written = true;
    for (size_t i = 0; written && i < bundle->file_count; i++) {
        const struct bundle_file *file = &bundle->files[i];
        if (strncmp(file->path, prefix, length) == 0 && file->path[length] == '/')
            written = write_file(directory, file->path + length + 1, file->source);
    }
    close(directory);
    return written;
}

/* Removes the .lua files of STATE_DIR/<name>/<prefix> and the directories, and nothing that this did not make. */
static void remove_version(int state, const char *name, const struct bundle_source *sources, size_t source_count) {
    int version = openat(state, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (version < 0)
        return;
    for (size_t i = 0; i < source_count; i++) {
        int directory = openat(version, sources[i].prefix, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        DIR *list = directory < 0 ? NULL : fdopendir(directory);
        struct dirent *entry;
        while (list && (entry = readdir(list))) {
            size_t length = strlen(entry->d_name);
            if (length > 4 && strcmp(entry->d_name + length - 4, ".lua") == 0)
                unlinkat(directory, entry->d_name, 0);
        }
        if (list)
            closedir(list);
        else if (directory >= 0)
            close(directory);
        unlinkat(version, sources[i].prefix, AT_REMOVEDIR);
    }
    close(version);
    unlinkat(state, name, AT_REMOVEDIR);
}

static bool is_revision(const char *name) {
    return strlen(name) == BUNDLE_REVISION_BYTES && strspn(name, "0123456789abcdef") == BUNDLE_REVISION_BYTES;
}

static void remove_others(int state, const char *keep, const struct bundle_source *sources, size_t source_count) {
    int copy = openat(state, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = copy < 0 ? NULL : fdopendir(copy);
    struct dirent *entry;
    while (list && (entry = readdir(list)))
        if (is_revision(entry->d_name) && strcmp(entry->d_name, keep) != 0)
            remove_version(state, entry->d_name, sources, source_count);
    if (list)
        closedir(list);
    else if (copy >= 0)
        close(copy);
}

static bool write_version(int state, const struct bundle *bundle, const struct bundle_source *sources,
                          size_t source_count) {
    remove_version(state, bundle->revision, sources, source_count); /* what is left of an attempt that failed */
    if (mkdirat(state, bundle->revision, 0755) != 0)
        return false;
    int version = openat(state, bundle->revision, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    bool written = version >= 0;
    for (size_t i = 0; written && i < source_count; i++)
        written = write_source(version, bundle, sources[i].prefix);
    if (version >= 0)
        close(version);
    if (!written)
        return false;
    unlinkat(state, "current.new", 0);
    return symlinkat(bundle->revision, state, "current.new") == 0 &&
           renameat(state, "current.new", state, "current") == 0;
}

static bool keeps(const char *state_dir, const struct bundle *bundle, const struct bundle_source *sources,
                  size_t source_count) {
    struct buffer ignored = {0};
    struct bundle *kept = last_good_read(state_dir, sources, source_count, &ignored);
    bool same = kept && strcmp(kept->revision, bundle->revision) == 0;
    bundle_release(kept);
    buffer_free(&ignored);
    return same;
}

bool last_good_save(const char *state_dir, const struct bundle *bundle, const struct bundle_source *sources,
                    size_t source_count, struct buffer *error) {
    if (keeps(state_dir, bundle, sources, source_count))
        return true;
    int state = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool saved = state >= 0 && write_version(state, bundle, sources, source_count);
    if (saved)
        remove_others(state, bundle->revision, sources, source_count);
    else
        buffer_format(error, "%s: cannot keep revision %s: %s", state_dir, bundle->revision, strerror(errno));
    if (state >= 0)
        close(state);
    return saved;
}

struct bundle *last_good_read(const char *state_dir, const struct bundle_source *sources, size_t source_count,
                              struct buffer *error) {
    char link[PATH_MAX], revision[BUNDLE_REVISION_BYTES + 2] = "";
    char paths[BUNDLE_MAX_SOURCES][PATH_MAX];
    struct bundle_source kept[BUNDLE_MAX_SOURCES];
    snprintf(link, sizeof link, "%s/current", state_dir);
    ssize_t length = readlink(link, revision, sizeof revision - 1);
    if (length < 0 || !is_revision(revision)) {
        buffer_format(error, "%s: keeps no bundle", state_dir);
        return NULL;
    }
    for (size_t i = 0; i < source_count; i++) {
        int needed = snprintf(paths[i], sizeof paths[i], "%s/%s/%s", state_dir, revision, sources[i].prefix);
        if (needed < 0 || (size_t)needed >= sizeof paths[i]) {
            buffer_format(error, "%s: the path is too long", state_dir);
            return NULL;
        }
        kept[i] = (struct bundle_source){sources[i].prefix, paths[i]};
    }
    struct bundle *bundle = bundle_read(kept, source_count, error);
    if (bundle && strcmp(bundle->revision, revision) != 0) {
        buffer_format(error, "%s: the bundle kept there was changed", state_dir);
        bundle_release(bundle);
        return NULL;
    }
    return bundle;
}
