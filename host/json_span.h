/* Finds spans in JSON text without building it anew. Strict (RFC 8259): no NaN, no hex, no comments, no trailing
   bytes, valid UTF-8, depth bounded. Never allocates, never recurses. */
#ifndef HOST_JSON_SPAN_H
#define HOST_JSON_SPAN_H

#include <stdint.h>

#include "bytes.h"

enum { JSON_MAX_DEPTH = 64 };

struct json_error {
    size_t offset;
    const char *message; /* a constant */
};

/* True when text is one JSON value. max_depth is at most JSON_MAX_DEPTH. With unique_keys, an object that names a key
   twice is an error (by bytes and after unescaping) as far as objects of up to 64 members go. */
bool json_valid(struct span text, unsigned max_depth, bool unique_keys, struct json_error *error);

/* The same step by step, for text that is large: what has been passed is valid. Begins as {.text = text}; what fails
   once, because the text is not JSON, fails for ever. Each step leaves the walk before the next value, or behind the
   last one. */
struct json_walk {
    struct span text;
    size_t at;
    bool first, failed;
};
/* Enters the array ('[') or object ('{') that begins here; false when the value is another one, which stays. */
bool json_walk_enter(struct json_walk *walk, char open);
/* To the next element (']') or member ('}'), whose raw key is set; false behind the last, which leaves the container.
 */
bool json_walk_next(struct json_walk *walk, char close, struct span *key);
/* Passes the value. */
bool json_walk_value(struct json_walk *walk, unsigned max_depth, struct span *value);
/* True when that was all. */
bool json_walk_end(struct json_walk *walk);

/* The functions below expect valid text and never read outside of it even when it is not. */
enum json_type { JSON_NONE, JSON_OBJECT, JSON_ARRAY, JSON_STRING, JSON_NUMBER, JSON_TRUE, JSON_FALSE, JSON_NULL };
enum json_type json_type(struct span value);

/* The value of a member, by its key (unescaped); length 0 when there is none. */
struct span json_member(struct span object, const char *key);
/* The same along a path of keys: json_path(object, (const char *[]){"metadata", "labels", NULL}). */
struct span json_path(struct span object, const char *const *keys);

/* Walks an array or an object: start with cursor 0; false at the end. key is raw, with its quotes ({0} in arrays). */
bool json_next(struct span container, size_t *cursor, struct span *key, struct span *value);

/* Unescapes a JSON string (with its quotes) into out; the length it has or needs without '\0', SIZE_MAX if it is no
   string. Writes at most size bytes, always ended by '\0' if size > 0. */
size_t json_string(struct span value, char *out, size_t size);
bool json_integer(struct span value, int64_t *out); /* exact; false for fractions, exponents, out of range */

#endif
