/* fork, exit and SIGINT at 1 kHz while gets, puts, streams and submitted operations run on many threads: 100
 * times each, no hang, no crash, all results right. Each way runs in a process of its own, which the first one
 * watches: what hangs is shown by gdb, where there is one, and ended.
 *
 * A local disk does not let signals interrupt it, as network file systems do: so while there are interrupts,
 * this program's own system calls for files, which the library is linked to, fail with EINTR now and then. */
#include "faultd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>

enum { ROUNDS = 100, SIZE = 150000, PER_STORE = 4, STORES = 5, IN_FLIGHT = 8 };

static s3dlio_store *stores[STORES];
static int store_count;
static atomic_int halt;
static atomic_long done[STORES][PER_STORE]; /* operations that went well */
static unsigned char expected[SIZE];

/* ------------------------------------------------------------------------------------- interrupted calls */

static int interrupting;
static atomic_long interrupts, interrupted_calls;

/* Every fifth call of a thread. */
static int interrupted(void) {
    static _Thread_local unsigned calls;
    if (!interrupting || ++calls % 5 != 0) return 0;
    atomic_fetch_add(&interrupted_calls, 1);
    errno = EINTR;
    return 1;
}

int openat(int folder, const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    int mode = va_arg(more, int);
    va_end(more);
    return interrupted() ? -1 : (int)syscall(SYS_openat, folder, path, flags, mode);
}
ssize_t pread64(int fd, void *data, size_t length, off64_t offset) {
    return interrupted() ? -1 : syscall(SYS_pread64, fd, data, length, offset);
}
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
    return interrupted() ? -1 : syscall(SYS_pwrite64, fd, data, length, offset);
}
int fsync(int fd) { return interrupted() ? -1 : (int)syscall(SYS_fsync, fd); }
int ftruncate64(int fd, off64_t length) { return interrupted() ? -1 : (int)syscall(SYS_ftruncate, fd, length); }

static void on_interrupt(int number) {
    (void)number;
    int saved = errno;
    atomic_fetch_add(&interrupts, 1);
    errno = saved;
}

/* SIGINT for the calling thread, a thousand times a second. */
static void start_interrupts(void) {
    if (!interrupting) return;
    struct sigevent event;
    struct itimerspec every = {{0, 1000000}, {0, 1000000}};
    timer_t timer;
    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGINT;
    event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    CHECK(timer_settime(timer, 0, &every, NULL) == 0);
}

/* ------------------------------------------------------------------------------------------- supervision */

/* What the threads of a process are doing, on stderr. */
static void show(pid_t pid) {
    char command[200];
    snprintf(command, sizeof command,
             "command -v gdb >/dev/null && gdb -p %d -batch -ex 'thread apply all backtrace 12' 1>&2 2>/dev/null",
             (int)pid);
    if (system(command) != 0) fprintf(stderr, "gdb could not show the process\n");
}

/* Waits for a child; whether it ended in time with status 0. What hangs is shown and ended. */
static int ended_well(pid_t pid, int seconds, const char *what) {
    int status = -1, in_time;
    char detail[100];
    struct pollfd end = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
    do in_time = poll(&end, 1, seconds * 1000);
    while (in_time < 0 && errno == EINTR);
    if (in_time != 1) {
        show(pid);
        kill(pid, SIGKILL);
    }
    close(end.fd);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    snprintf(detail, sizeof detail, in_time != 1 ? "it hung" : "it ended with wait status %d", status);
    return check_(in_time == 1 && status == 0, __FILE__, __LINE__, what, detail);
}

/* ----------------------------------------------------------------------------------------------- traffic */

/* Whole gets into memory of ours, in parallel ranges. */
static void get_once(s3dlio_store *store, unsigned char *memory) {
    s3dlio_error *err = NULL;
    size_t n = 0;
    OK(s3dlio_store_get_into(store, "fixed", memory, SIZE, &n, &err));
    CHECK(n == SIZE && memcmp(memory, expected, SIZE) == 0);
}

static void put_once(s3dlio_store *store) {
    s3dlio_error *err = NULL;
    s3dlio_buffer *data = NULL;
    OK(s3dlio_store_put(store, "put", expected, SIZE / 2, NULL, 0, NULL, 0, &err));
    if (!OK(s3dlio_store_get_range(store, "put", 1000, 2000, &data, &err))) return;
    CHECK(s3dlio_buffer_size(data) == 2000 && memcmp(s3dlio_buffer_data(data), expected + 1000, 2000) == 0);
    s3dlio_buffer_free(data);
}

/* A writer, a reader, a listing. */
static void stream_once(s3dlio_store *store, unsigned char *memory) {
    s3dlio_error *err = NULL;
    s3dlio_writer *writer = NULL;
    s3dlio_reader *reader = NULL;
    s3dlio_lister *lister = NULL;
    s3dlio_object_info info;
    size_t n = 0, all = 0;
    int32_t status;
    OK(s3dlio_writer_open(store, "streamed", NULL, NULL, 0, &writer, &err));
    OK(s3dlio_writer_write(writer, expected, SIZE / 3, &err));
    OK(s3dlio_writer_write(writer, expected + SIZE / 3, SIZE - SIZE / 3, &err));
    OK(s3dlio_writer_finish(writer, NULL, 0, &err));
    s3dlio_writer_free(writer);
    OK(s3dlio_reader_open(store, "streamed", NULL, &reader, &err));
    while ((status = s3dlio_reader_read(reader, memory + all, SIZE - all, &n, &err)) == S3DLIO_OK && n > 0) all += n;
    status_(status, all == SIZE && status == S3DLIO_OK ? S3DLIO_OK : S3DLIO_END, &err, __FILE__, __LINE__, "read");
    CHECK(all == SIZE && memcmp(memory, expected, SIZE) == 0);
    s3dlio_reader_free(reader);
    OK(s3dlio_store_list(store, "fix", 1, &lister, &err));
    if (OK(s3dlio_lister_next(lister, &info, sizeof info, &err))) {
        CHECK(strcmp(info.key, "fixed") == 0 && info.size == SIZE);
    }
    STATUS(S3DLIO_END, s3dlio_lister_next(lister, &info, sizeof info, &err));
    s3dlio_lister_free(lister);
}

/* A handful of operations under way at once, then their events. */
static void submit_once(s3dlio_store *store, s3dlio_queue *queue, unsigned char *memory) {
    s3dlio_error *err = NULL;
    s3dlio_event event;
    unsigned seen = 0;
    for (int i = 0; i < IN_FLIGHT; i++) {
        size_t at = (size_t)i * 10000;
        if (i % 4 == 3) {
            OK(s3dlio_store_put_submit(store, "submitted", expected, 10000, NULL, 0, queue, (uint64_t)i, NULL, &err));
        } else {
            OK(s3dlio_store_get_range_into_submit(store, "fixed", at, memory + at, 10000, queue, (uint64_t)i, NULL,
                                                  &err));
        }
    }
    for (int i = 0; i < IN_FLIGHT; i++) {
        if (!OK(s3dlio_queue_next(queue, -1, &event, sizeof event, &err))) return;
        size_t at = (size_t)event.token * 10000;
        CHECK(event.status == S3DLIO_OK && event.bytes == 10000 && (seen & 1u << event.token) == 0);
        CHECK(event.token % 4 == 3 || memcmp(memory + at, expected + at, 10000) == 0);
        seen |= 1u << event.token;
        s3dlio_buffer_free(event.data);
        s3dlio_error_free(event.error);
    }
}

static void *run_traffic(void *number) {
    int at = (int)(intptr_t)number % store_count, kind = (int)(intptr_t)number / store_count;
    s3dlio_error *err = NULL;
    s3dlio_queue *queue = NULL;
    unsigned char *memory = malloc(SIZE);
    repeating = 1;
    start_interrupts();
    OK(s3dlio_queue_new(&queue, &err));
    while (!atomic_load(&halt)) {
        memset(memory, 0, SIZE);
        switch (kind) {
        case 0: get_once(stores[at], memory); break;
        case 1: put_once(stores[at]); break;
        case 2: stream_once(stores[at], memory); break;
        default: submit_once(stores[at], queue, memory);
        }
        atomic_fetch_add(&done[at][kind], 1);
    }
    s3dlio_queue_free(queue);
    free(memory);
    return NULL;
}

/* The stores of this process, each with the object that is read. */
static void open_stores(char **endpoints, int count) {
    static char folder[64]; /* the first process removes it */
    backend all[STORES];
    s3dlio_error *err = NULL;
    snprintf(folder, sizeof folder, "%.60s", endpoints[2]);
    all[0] = seaweed(endpoints[0], "traffic");
    all[1] = azurite(endpoints[1], "traffic");
    all[2] = local("memory://%s", "traffic");
    all[3] = local("file://%s/file", folder);
    all[4] = local("direct://%s/direct", folder);
    fill(expected, SIZE, 9);
    repeating = 1;
    store_count = count;
    for (int i = 0; i < count; i++) {
        if (i < 2) OK(s3dlio_options_set(all[i].options, "transfer.range_size", "64KiB", &err));
        if (i < 2) OK(s3dlio_options_set(all[i].options, "transfer.range_threshold", "64KiB", &err));
        stores[i] = open_backend(&all[i]);
        s3dlio_store_create_container(stores[i], NULL);
        OK(s3dlio_store_put(stores[i], "fixed", expected, SIZE, NULL, 0, NULL, 0, &err));
    }
}

static int thread_count(void) { return store_count * PER_STORE; }

static void start_traffic(pthread_t *threads) {
    for (int t = 0; t < thread_count(); t++) {
        CHECK(pthread_create(&threads[t], NULL, run_traffic, (void *)(intptr_t)t) == 0);
    }
}

/* Until each thread has done so many operations more; else the supervisor's patience ends. */
static void await_progress(long more) {
    for (int at = 0; at < store_count; at++) {
        for (int kind = 0; kind < PER_STORE; kind++) {
            long until = atomic_load(&done[at][kind]) + more;
            while (atomic_load(&done[at][kind]) < until && !atomic_load(&failed)) usleep(200);
        }
    }
}

static int stop_traffic(pthread_t *threads) {
    atomic_store(&halt, 1);
    for (int t = 0; t < thread_count(); t++) pthread_join(threads[t], NULL);
    for (int i = 0; i < store_count; i++) s3dlio_store_free(stores[i]);
    return atomic_load(&failed) != 0;
}

/* -------------------------------------------------------------------------------------------- three ways */

/* Children that work on what they inherited, and children that leave at once. */
static int forks(char **endpoints) {
    pthread_t threads[STORES * PER_STORE];
    unsigned char *memory = malloc(SIZE);
    open_stores(endpoints, 2);
    start_traffic(threads);
    for (int round = 0; round < repeat(ROUNDS) && !atomic_load(&failed); round++) {
        await_progress(1);
        fflush(NULL);
        pid_t pid = fork();
        if (pid == 0) {
            atomic_store(&failed, 0);
            if (round % 4 == 1) _exit(0);
            if (round % 4 == 3) exit(0);
            get_once(stores[round / 2 % 2], memory);
            put_once(stores[round / 2 % 2]);
            if (round % 4 == 0) exit(atomic_load(&failed) != 0);
            _exit(atomic_load(&failed) != 0);
        }
        if (!ended_well(pid, 60, "a forked child under traffic")) break;
    }
    free(memory);
    return stop_traffic(threads);
}

/* A process that leaves in the middle of it. */
static int exits(char **endpoints, int round) {
    pthread_t threads[STORES * PER_STORE];
    open_stores(endpoints, round % 2 ? 2 : STORES);
    start_traffic(threads);
    await_progress(1);
    if (atomic_load(&failed)) _exit(1);
    if (round % 3 == 0) return 0;
    exit(0);
}

static int signals(char **endpoints) {
    pthread_t threads[STORES * PER_STORE];
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_interrupt; /* no SA_RESTART: system calls end with EINTR */
    CHECK(sigaction(SIGINT, &action, NULL) == 0);
    interrupting = 1;
    open_stores(endpoints, STORES);
    start_traffic(threads);
    for (int round = 0; round < repeat(ROUNDS) && !atomic_load(&failed); round++) {
        long before = atomic_load(&interrupts);
        await_progress(1);
        while (atomic_load(&interrupts) == before) usleep(200);
    }
    fprintf(stderr, "%ld interrupts, %ld interrupted calls\n", atomic_load(&interrupts),
            atomic_load(&interrupted_calls));
    CHECK(atomic_load(&interrupts) >= repeat(ROUNDS) && atomic_load(&interrupted_calls) >= repeat(ROUNDS));
    return stop_traffic(threads);
}

int main(int argc, char **argv) {
    if (argc > 5 && strcmp(argv[1], "forks") == 0) return forks(argv + 2);
    if (argc > 5 && strcmp(argv[1], "exits") == 0) return exits(argv + 2, atoi(argv[5]));
    if (argc > 5 && strcmp(argv[1], "signals") == 0) return signals(argv + 2);
    char folder[64], number[12], said[100];
    if (server("S3DLIO_TEST_FAULTD") == NULL) return summary("traffic");
    temporary_folder(folder);
    faultd server = faultd_start(NULL);
    const char *const ways[] = {"forks", "signals", "exits"};
    for (int way = 0; way < 3; way++) {
        for (int round = 0; round < (way == 2 ? repeat(ROUNDS) : 1); round++) {
            snprintf(number, sizeof number, "%d", round);
            char *arguments[] = {argv[0], (char *)ways[way], server.s3, server.azure, folder, number, NULL};
            pid_t pid = -1;
            CHECK(posix_spawn(&pid, argv[0], NULL, NULL, arguments, environ) == 0);
            if (!ended_well(pid, way == 2 ? 60 : 500, ways[way])) break;
        }
    }
    faultd_stop(&server, said, sizeof said);
    remove_folder(folder);
    return summary("traffic");
}
