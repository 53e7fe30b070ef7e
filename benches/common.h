/* What client.c and limit.c share: arguments NAME=VALUE, work on threads, the objects' bytes, and the
   line of figures that each program prints. */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

static int arguments;
static char **argument;

static void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
static void die(const char *format, ...) {
    va_list values;
    va_start(values, format);
    vfprintf(stderr, format, values);
    va_end(values);
    fputc('\n', stderr);
    exit(1);
}

/* The value of the argument NAME=VALUE, or the fallback. */
static const char *text(const char *name, const char *fallback) {
    size_t length = strlen(name);
    for (int i = 2; i < arguments; i++)
        if (!strncmp(argument[i], name, length) && argument[i][length] == '=') return argument[i] + length + 1;
    return fallback;
}

static size_t number(const char *name, size_t fallback) {
    const char *value = text(name, NULL);
    return value ? strtoull(value, NULL, 10) : fallback;
}

/* What every operation knows: `count` objects of `size` bytes, called by their index modulo `distinct`;
   `threads` at work; `passes` measured passes over all of them. */
static size_t count, size, distinct, threads, passes;

static void read_arguments(int argc, char **argv) {
    if (argc < 2) die("usage: %s OPERATION NAME=VALUE...", argv[0]);
    arguments = argc;
    argument = argv;
    count = number("count", 1);
    size = number("size", 4096);
    distinct = number("distinct", count);
    threads = number("threads", 1);
    passes = number("passes", 1);
    if (!count || !distinct || !threads || !passes) die("%s: count, distinct, threads and passes are at least 1", argv[1]);
}

/* Memory whose pages are there already, aligned for O_DIRECT. */
static char *memory(size_t bytes) {
    char *data = mmap(NULL, bytes + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) die("no memory for %zu bytes", bytes);
    madvise(data, bytes, MADV_HUGEPAGE);
    memset(data, 1, bytes);
    return data;
}

/* ---- the objects' bytes: word i of object n is a hash of both */

static uint64_t word(uint64_t object, uint64_t index) {
    uint64_t x = (object << 40 ^ index) * 0x9E3779B97F4A7C15u;
    return x ^ x >> 29;
}

static void fill(void *data, size_t bytes, size_t object) {
    for (size_t i = 0; i < bytes / 8; i++) {
        uint64_t value = word(object, i);
        memcpy((char *)data + i * 8, &value, 8);
    }
}

/* Ends the program if the bytes are not those of the object from `offset` on. */
static void check(const void *data, size_t bytes, size_t object, size_t offset) {
    for (size_t i = 0; i < bytes / 8; i++) {
        uint64_t value;
        memcpy(&value, (const char *)data + i * 8, 8);
        if (value != word(object, offset / 8 + i)) die("wrong bytes in object %zu at %zu", object, offset + i * 8);
    }
}

/* ---- threads */

typedef void work(size_t index, size_t thread);
static size_t next_index;
static work *job;

static void *worker(void *id) {
    for (size_t i; (i = __atomic_fetch_add(&next_index, 1, __ATOMIC_RELAXED)) < count;) job(i, (size_t)id);
    return NULL;
}

/* Does the work for every index, on `threads` threads. */
__attribute__((unused)) static void spread(work *function) {
    pthread_t thread[1024];
    job = function;
    next_index = 0;
    if (threads > 1024) die("at most 1024 threads");
    for (size_t i = 1; i < threads; i++)
        if (pthread_create(&thread[i], NULL, worker, (void *)i)) die("no thread");
    worker(NULL);
    for (size_t i = 1; i < threads; i++) pthread_join(thread[i], NULL);
}

/* ---- figures */

/* Whether the pass under way compares all bytes: the warm-up, which is not measured. */
static int checking;

/* Seconds of the passes that are left out of their wall time. */
static double unmeasured;

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

static double cpu(struct rusage *usage) {
    getrusage(RUSAGE_SELF, usage);
    return usage->ru_utime.tv_sec + usage->ru_stime.tv_sec + (usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) / 1e6;
}

/* A line of /proc/self/status in bytes. VmHWM is the peak of this program alone; ru_maxrss is not: it
   begins with the parent's. */
static size_t status_bytes(const char *name) {
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    size_t value = 0;
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, name, strlen(name)) && line[strlen(name)] == ':') value = strtoull(line + strlen(name) + 1, NULL, 10);
    if (file) fclose(file);
    if (!value) die("/proc/self/status has no %s", name);
    return value << 10;
}

__attribute__((unused)) static void print_figures(size_t objects, size_t bytes, double wall, double spent, size_t rss, long switches) {
    printf("{\"passes\": %zu, \"objects\": %zu, \"bytes\": %zu, \"wall\": %.6f, \"cpu\": %.6f, \"rss\": %zu, \"switches\": %ld}\n",
           passes, objects, bytes, wall, spent, rss, switches);
}

/* One pass that warms up and checks, then `passes` that are measured. */
__attribute__((unused)) static void measure(void (*pass)(void)) {
    struct rusage before, after;
    checking = 1;
    pass();
    checking = 0;
    unmeasured = 0;
    double spent = -cpu(&before), wall = -seconds();
    for (size_t i = 0; i < passes; i++) pass();
    wall += seconds() - unmeasured;
    spent += cpu(&after);
    long switches = after.ru_nvcsw + after.ru_nivcsw - before.ru_nvcsw - before.ru_nivcsw;
    print_figures(count * passes, count * size * passes, wall, spent, status_bytes("VmHWM"), switches);
}

#endif
