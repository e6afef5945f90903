#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <unistd.h>

struct bytes *file_read(const char *path, size_t max_bytes) {
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return NULL;
    struct buffer buffer = {0};
    char chunk[16 * 1024];
    ssize_t got;
    do {
        got = read(descriptor, chunk, sizeof chunk);
        if (got > 0)
            buffer_append(&buffer, chunk, (size_t)got);
    } while ((got > 0 || (got < 0 && errno == EINTR)) && buffer.length <= max_bytes && !buffer.failed);
    int reason = got < 0 ? errno : buffer.failed ? ENOMEM : buffer.length > max_bytes ? EFBIG : 0;
    close(descriptor);
    struct bytes *bytes = reason ? NULL : bytes_copy(buffer.data, buffer.length);
    if (buffer.data)
        OPENSSL_cleanse(buffer.data, buffer.length);
    OPENSSL_cleanse(chunk, sizeof chunk);
    buffer_free(&buffer);
    errno = reason ? reason : ENOMEM;
    return bytes;
}

void file_forget(struct bytes *bytes) {
    if (bytes)
        OPENSSL_cleanse(bytes->data, bytes->length);
    bytes_release(bytes);
}
