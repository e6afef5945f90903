#include "process_metrics.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "metrics.h"

static struct series *cpu_seconds, *resident_bytes, *open_fds, *log_lines_lost;

static double count_open_fds(void) {
    DIR *directory = opendir("/proc/self/fd");
    if (!directory)
        return 0;
    int entries = 0;
    while (readdir(directory))
        entries++;
    closedir(directory);
    return entries - 3; /* ".", ".." and the directory itself */
}

static double read_resident_bytes(void) {
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file)
        return 0;
    if (fscanf(file, "%*d %ld", &pages) != 1)
        pages = 0;
    fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static double seconds(struct timeval time) {
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static void collect(void *unused) {
    struct rusage usage;
    (void)unused;
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        series_set(cpu_seconds, seconds(usage.ru_utime) + seconds(usage.ru_stime));
    series_set(resident_bytes, read_resident_bytes());
    series_set(open_fds, count_open_fds());
    series_set(log_lines_lost, (double)log_dropped());
}

static struct series *make(enum metric_type type, const char *name, const char *help) {
    struct metric *metric = metric_family(type, name, help, "");
    return metric ? metric_series(metric, NULL) : NULL;
}

bool process_metrics_start(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct metric *build =
        metric_family(METRIC_GAUGE, "rayclusterscaler_build_info", "Always 1; says what runs.", "version");
    struct series *start = make(METRIC_GAUGE, "process_start_time_seconds", "When the process started, in Unix time.");
    cpu_seconds = make(METRIC_COUNTER, "process_cpu_seconds_total", "CPU time spent, user and system.");
    resident_bytes = make(METRIC_GAUGE, "process_resident_memory_bytes", "Memory that is resident.");
    open_fds = make(METRIC_GAUGE, "process_open_fds", "File descriptors that are open.");
    log_lines_lost = make(METRIC_COUNTER, "rayclusterscaler_log_lines_lost_total",
                          "Log lines that were lost because their reader was too slow or the write failed.");
    if (!build || !start || !cpu_seconds || !resident_bytes || !open_fds || !log_lines_lost)
        return false;
    metric_set(build, (const char *const[]){PROJECT_VERSION}, 1);
    series_set(start, (double)now.tv_sec + (double)now.tv_nsec / 1e9);
    return metrics_on_collect(collect, NULL);
}
