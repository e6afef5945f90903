/* Small files that may hold secrets. */
#ifndef HOST_FILE_H
#define HOST_FILE_H

#include "bytes.h"

/* A whole file of at most max_bytes, NULL when it cannot be read or is larger (EFBIG); errno says why. */
struct bytes *file_read(const char *path, size_t max_bytes);
/* Wipes and releases what its only holder has read; NULL is fine. */
void file_forget(struct bytes *bytes);

#endif
