#include "config.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct setting_kind {
    bool (*parse)(const struct setting *setting, const char *value, void *member);
    void (*show)(const void *member, struct buffer *out); /* as a JSON value */
    const char *allowed;                                  /* "must be …"; NULL: the range of a number */
};

enum { MAX_SHOWN_BYTES = 200 }; /* of a wrong value in a message */

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_alphanumeric(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Digits only: no sign, no blanks, no leading zero that somebody may mean as octal. */
static bool parse_digits(const char *text, long least, long most, long *out) {
    size_t length = strspn(text, "0123456789");
    if (length == 0 || length > 9 || text[length] || (text[0] == '0' && length > 1))
        return false;
    long value = strtol(text, NULL, 10);
    if (value < least || value > most)
        return false;
    *out = value;
    return true;
}

static bool parse_number(const struct setting *setting, const char *value, void *member) {
    return parse_digits(value, setting->least, setting->most, member);
}

static void show_number(const void *member, struct buffer *out) {
    buffer_format(out, "%ld", *(const long *)member);
}

static bool parse_text(const struct setting *setting, const char *value, void *member) {
    (void)setting;
    *(const char **)member = value;
    return true;
}

static void show_text(const void *member, struct buffer *out) {
    const char *text = *(const char *const *)member;
    buffer_json_string(out, text, strlen(text));
}

static bool parse_namespace(const struct setting *setting, const char *value, void *member) {
    size_t length = strlen(value);
    if (length > 63 || strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789-") != length)
        return false;
    if (value[0] == '-' || value[length - 1] == '-')
        return false;
    return parse_text(setting, value, member);
}

/* "1.2.3.4" or "[::1]", which ends where *end points. */
static bool is_address(const char *text, const char **end) {
    char address[INET6_ADDRSTRLEN];
    unsigned char parsed[sizeof(struct in6_addr)];
    bool bracket = *text == '[';
    text += bracket;
    size_t length = strcspn(text, bracket ? "]" : ":/");
    if (length >= sizeof address || (bracket && text[length] != ']'))
        return false;
    memcpy(address, text, length);
    address[length] = '\0';
    *end = text + length + bracket;
    return inet_pton(bracket ? AF_INET6 : AF_INET, address, parsed) == 1;
}

static bool parse_listen(const struct setting *setting, const char *value, void *member) {
    const char *end;
    long port;
    if (!is_address(value, &end) || *end != ':' || !parse_digits(end + 1, 0, 65535, &port))
        return false;
    return parse_text(setting, value, member);
}

/* http(s)://host[:port][/path]: credentials or a query would end up in logs, and have no use here. */
static bool parse_url(const struct setting *setting, const char *value, void *member) {
    (void)setting;
    size_t length = strlen(value);
    size_t scheme = strncasecmp(value, "http://", 7) == 0 ? 7 : strncasecmp(value, "https://", 8) == 0 ? 8 : 0;
    if (!scheme || length > CONFIG_MAX_URL_BYTES)
        return false;
    for (size_t i = 0; i < length; i++)
        if (value[i] <= ' ' || value[i] >= 0x7f || strchr("?#@\\\"<>^`{|}", value[i]))
            return false;
    const char *end = value + scheme;
    if (*end == '[') {
        if (!is_address(end, &end))
            return false;
    } else {
        const char *host = end;
        while (is_alphanumeric(*end) || strchr(".-_", *end ? *end : '/'))
            end++;
        if (end == host)
            return false;
    }
    if (*end == ':') {
        char digits[8] = "";
        size_t count = strspn(end + 1, "0123456789");
        long port;
        if (count >= sizeof digits)
            return false;
        memcpy(digits, end + 1, count);
        if (!parse_digits(digits, 1, 65535, &port))
            return false;
        end += 1 + count;
    }
    if (*end && *end != '/')
        return false;
    while (value[length - 1] == '/')
        length--;
    memcpy(member, value, length);
    ((char *)member)[length] = '\0';
    return true;
}

static void show_url(const void *member, struct buffer *out) {
    buffer_json_string(out, member, strlen(member));
}

static const char *const level_names[] = {
    [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warning", [LOG_ERROR] = "error"};

static bool parse_level(const struct setting *setting, const char *value, void *member) {
    (void)setting;
    enum log_level *level = member;
    for (int i = LOG_DEBUG; i <= LOG_ERROR; i++) {
        if (strcasecmp(value, level_names[i]) == 0 || (i == LOG_WARN && strcasecmp(value, "warn") == 0)) {
            *level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

static void show_level(const void *member, struct buffer *out) {
    buffer_format(out, "\"%s\"", level_names[*(const enum log_level *)member]);
}

static bool parse_examples(const struct setting *setting, const char *value, void *member) {
    (void)setting;
    bool *optional = member;
    *optional = strcmp(value, "optional") == 0;
    return *optional || strcmp(value, "required") == 0;
}

static void show_examples(const void *member, struct buffer *out) {
    buffer_text(out, *(const bool *)member ? "\"optional\"" : "\"required\"");
}

/* A plain decimal: no sign, no exponent, no "nan". */
static bool parse_rate(const struct setting *setting, const char *value, void *member) {
    (void)setting;
    size_t whole = strspn(value, "0123456789");
    const char *end = value + whole;
    if (*end == '.') {
        size_t fraction = strspn(end + 1, "0123456789");
        if (fraction == 0)
            return false;
        end += 1 + fraction;
    }
    if (whole == 0 || *end || end - value > 12)
        return false;
    double rate = strtod(value, NULL);
    if (rate > 1)
        return false;
    *(double *)member = rate;
    return true;
}

static void show_rate(const void *member, struct buffer *out) {
    buffer_format(out, "%.10g", *(const double *)member);
}

static const struct setting_kind url = {
    parse_url, show_url, "an http or https URL without credentials, query and fragment, at most 511 bytes"};
static const struct setting_kind namespace = {parse_namespace, show_text,
                                              "a DNS-1123 label: at most 63 of a-z, 0-9 and \"-\", not at either end"};
static const struct setting_kind level = {parse_level, show_level, "debug, info, warning or error"};
static const struct setting_kind address = {parse_listen, show_text,
                                            "address:port, such as 0.0.0.0:6000 or [::1]:6000"};
static const struct setting_kind examples = {parse_examples, show_examples, "required or optional"};
static const struct setting_kind path = {parse_text, show_text, NULL};
static const struct setting_kind rate = {parse_rate, show_rate, "a number from 0 to 1, such as 0.01"};
static const struct setting_kind number = {parse_number, show_number, NULL};

#define MEMBER(name) offsetof(struct config, name)

const struct setting config_settings[] = {
    {"DOMINO_NUCLEUS_URI", "http://nucleus-frontend.domino-platform:80", "Domino's API, which says who is calling",
     &url, MEMBER(domino_nucleus_uri), 0, 0},
    {"COMPUTE_NAMESPACE", "domino-compute", "namespace of the compute clusters", &namespace, MEMBER(compute_namespace),
     0, 0},
    {"LOG_LEVEL", "info", "least level that is logged: debug, info, warning or error; `audit` lines always are", &level,
     MEMBER(log_level), 0, 0},
    {"KUBECONFIG", "", "kubeconfig files, apart by `:`, when not in a cluster; without one `~/.kube/config`", &path,
     MEMBER(kubeconfig), 0, 0},
    {"LISTEN", "0.0.0.0:6000", "where callers are served; IPv6 as `[::1]:6000`, port 0 takes any free one", &address,
     MEMBER(listen), 0, 0},
    {"ADMIN_LISTEN", "0.0.0.0:6001", "where probes and metrics are served", &address, MEMBER(admin_listen), 0, 0},
    {"SCRIPTS_DIR", "scripts", "directory of the endpoints", &path, MEMBER(scripts_dir), 0, 0},
    {"POLICIES_DIR", "policies", "directory of the rules", &path, MEMBER(policies_dir), 0, 0},
    {"SIMULATOR_DIR", "spec/simulator", "where `demo` finds the simulator", &path, MEMBER(simulator_dir), 0, 0},
    {"STATE_DIR", "", "directory that keeps the last good scripts and policies for the next start; empty: none", &path,
     MEMBER(state_dir), 0, 0},
    {"POLICY_EXAMPLES", "required", "`required`: a policy without examples is refused; `optional`: it is not",
     &examples, MEMBER(policy_examples_optional), 0, 0},
    {"DECISION_LOG", "", "file that decisions are appended to; empty: they are lines of the log, at level info", &path,
     MEMBER(decision_log), 0, 0},
    {"DECISION_SAMPLE_RATE", "0.01", "share of the allowed views that are logged, 0 to 1; all else that is decided is",
     &rate, MEMBER(decision_sample_rate), 0, 0},
    {"IDENTITY_TTL_SECONDS", "10", "how long Domino's answer for a credential is reused, 0 to 3600; 0: never", &number,
     MEMBER(identity_ttl_seconds), 0, 3600},
    {"REQUEST_TIMEOUT_SECONDS", "10", "for a whole request, upstream calls and retries included, 1 to 60", &number,
     MEMBER(request_timeout_seconds), 1, 60},
    {"KUBE_MAX_STALE_SECONDS", "5",
     "how far the copy of the clusters may lag before Kubernetes is asked instead, 0 to 3600", &number,
     MEMBER(kube_max_stale_seconds), 0, 3600},
    {"DRAIN_SECONDS", "5",
     "after SIGTERM, how long to serve on while not ready, so that no new callers are sent here, 0 to 300", &number,
     MEMBER(drain_seconds), 0, 300},
    {"MAX_REQUESTS", "128", "requests worked on at once, beyond which callers are told to try again, 1 to 1000",
     &number, MEMBER(max_requests), 1, 1000},
    {"MAX_REQUESTS_PER_CALLER", "112", "of these, how many may be one credential's, 1 to 1000", &number,
     MEMBER(max_requests_per_caller), 1, 1000},
    {0},
};

/* NAME="value": must be …; in one line whatever the value holds. */
static void explain(const struct setting *setting, const char *value, char *error, size_t error_size) {
    struct buffer shown = {0};
    size_t length = strlen(value);
    if (setting->kind == &url && strpbrk(value, "@?#"))
        buffer_text(&shown, "\"***\""); /* may hold a password or a token */
    else
        buffer_json_string(&shown, value, length > MAX_SHOWN_BYTES ? MAX_SHOWN_BYTES : length);
    const char *text = shown.failed ? "\"…\"" : shown.data;
    if (setting->kind->allowed)
        snprintf(error, error_size, "%s=%s: must be %s", setting->name, text, setting->kind->allowed);
    else
        snprintf(error, error_size, "%s=%s: must be a whole number from %ld to %ld", setting->name, text,
                 setting->least, setting->most);
    buffer_free(&shown);
}

bool config_read(struct config *config, const char *(*lookup)(const char *name), char *error, size_t error_size) {
    *config = (struct config){0};
    for (const struct setting *setting = config_settings; setting->name; setting++) {
        const char *value = lookup(setting->name);
        if (!value || !*value)
            value = setting->fallback;
        if (!setting->kind->parse(setting, value, (char *)config + setting->offset)) {
            explain(setting, value, error, error_size);
            return false;
        }
    }
    return true;
}

void config_describe(const struct config *config, struct buffer *out) {
    for (const struct setting *setting = config_settings; setting->name; setting++) {
        buffer_format(out, "%s\"%s\":", setting == config_settings ? "" : ",", setting->name);
        setting->kind->show((const char *)config + setting->offset, out);
    }
}
