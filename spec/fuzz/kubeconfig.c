/* A kubeconfig. Other files that it names are all the same short text, so that nothing of this machine is read. */
#include "kubeconfig.h"

#include <errno.h>

#include "file.h"
#include "fuzz.h"

static struct span text;

struct bytes *__wrap_file_read(const char *path, size_t max_bytes);
struct bytes *__wrap_file_read(const char *path, size_t max_bytes) {
    static const char other[] = "a certificate";
    bool config = strcmp(path, "/config") == 0;
    struct span content = config ? text : (struct span){other, sizeof other - 1};
    if (content.length <= max_bytes && !strstr(path, "missing"))
        return bytes_copy(content.data, content.length);
    errno = content.length > max_bytes ? EFBIG : ENOENT;
    return NULL;
}

static bool is_set(const char *value) {
    return value && *value;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct kubeconfig config;
    char error[256];
    memset(error, 'x', sizeof error);
    text = (struct span){(const char *)data, size};
    if (kubeconfig_load(&config, "/config:/missing", error, sizeof error)) {
        expect(config.context && config.server);
        expect(strncmp(config.server, "https://", 8) == 0 || strncmp(config.server, "http://", 7) == 0);
        expect(!strpbrk(config.server, "@?#"));
        expect(!config.certificate_pem == !config.key_pem);
        expect(!is_set(config.username) || !(is_set(config.token) || is_set(config.token_file)));
        expect(!config.insecure || !config.ca_pem);
        kubeconfig_free(&config);
    } else {
        expect(memchr(error, '\0', sizeof error) && error[0]);
    }
    return 0;
}
