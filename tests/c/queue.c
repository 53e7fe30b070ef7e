/* Completion queues: an epoll loop over 1,000 mixed operations on every backend; cancel, shutdown, close
 * and free with operations under way. Every submit gives one event, and memory is not touched after it. */
#include "test.h"

#include <errno.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { OPERATIONS = 1000, SIZE = 70000, PENDING = 64, LARGE = 8 << 20 };

static int readable(s3dlio_queue *queue) {
    s3dlio_error *err = NULL;
    struct pollfd waited = {.fd = -1, .events = POLLIN};
    OK(s3dlio_queue_fd(queue, &waited.fd, &err));
    return poll(&waited, 1, 0) == 1;
}

static void release(s3dlio_event *event) {
    s3dlio_buffer_free(event->data);
    s3dlio_error_free(event->error);
    s3dlio_reader_free(event->reader);
}

/* What an operation of `mixed` is, by its number. */
enum kind { GET, GET_RANGE, GET_INTO, GET_RANGE_INTO, PUT, STAT, DELETE, OPEN, READ_AT, MISSING, KINDS };

/* Whether the event is what the operation had to give. */
static int good(int number, const s3dlio_event *event, const unsigned char *expected, const unsigned char *got) {
    const s3dlio_object_info *info;
    if (number % KINDS == MISSING) {
        return event->status == S3DLIO_ERR_NOT_FOUND && s3dlio_error_code(event->error) == event->status &&
               strstr(s3dlio_error_message(event->error), "missing") != NULL;
    }
    if (event->status != S3DLIO_OK || event->error != NULL) {
        fprintf(stderr, "%s\n", s3dlio_error_message(event->error));
        return 0;
    }
    switch (number % KINDS) {
    case GET:
        return event->bytes == SIZE && s3dlio_buffer_size(event->data) == SIZE &&
               memcmp(s3dlio_buffer_data(event->data), expected, SIZE) == 0;
    case GET_RANGE:
        return event->bytes == 100 && memcmp(s3dlio_buffer_data(event->data), expected + 1000, 100) == 0;
    case GET_INTO: return event->bytes == SIZE && memcmp(got, expected, SIZE) == 0;
    case GET_RANGE_INTO: return event->bytes == 500 && memcmp(got, expected + SIZE - 500, 500) == 0;
    case PUT:
        return event->written != NULL && event->written->finished == 1 && event->bytes == SIZE &&
               event->written->crc32c == s3dlio_crc32c(0, expected, SIZE);
    case STAT:
        if (event->info_count != 1) return 0;
        info = event->infos[0];
        return info->size == SIZE && strcmp(info->key, "fixed") == 0 && event->data != NULL;
    case OPEN: return event->reader != NULL;
    case READ_AT: return event->bytes == 1000 && memcmp(got, expected + 7, 1000) == 0;
    default: return event->data == NULL && event->reader == NULL;
    }
}

/* One thread, one epoll loop, everything under way at once. */
static void mixed(const backend *b) {
    s3dlio_error *err = NULL;
    s3dlio_queue *queue = NULL;
    s3dlio_reader *reader = NULL;
    s3dlio_event event;
    s3dlio_store *store = open_backend(b);
    int count = repeat(OPERATIONS);
    unsigned char *expected = malloc(SIZE), *memory = calloc((size_t)count, SIZE);
    unsigned char *seen = calloc((size_t)count, 1);
    int32_t fd = -1;
    char key[32];
    fill(expected, SIZE, 5);
    OK(s3dlio_store_create_container(store, &err));
    OK(s3dlio_store_put(store, "fixed", expected, SIZE, NULL, 0, NULL, 0, &err));
    OK(s3dlio_reader_open(store, "fixed", NULL, &reader, &err));
    OK(s3dlio_queue_new(&queue, &err));
    OK(s3dlio_queue_fd(queue, &fd, &err));
    CHECK(!readable(queue));
    int loop = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event interest = {.events = EPOLLIN};
    CHECK(epoll_ctl(loop, EPOLL_CTL_ADD, fd, &interest) == 0);
    repeating = 1;
    for (int i = 0; i < count; i++) {
        unsigned char *dst = memory + (size_t)i * SIZE;
        uint64_t token = (uint64_t)i;
        snprintf(key, sizeof key, "put/%d", i); /* copied by the submit */
        switch (i % KINDS) {
        case GET: OK(s3dlio_store_get_submit(store, "fixed", queue, token, NULL, &err)); break;
        case GET_RANGE: OK(s3dlio_store_get_range_submit(store, "fixed", 1000, 100, queue, token, NULL, &err)); break;
        case GET_INTO: OK(s3dlio_store_get_into_submit(store, "fixed", dst, SIZE, queue, token, NULL, &err)); break;
        case GET_RANGE_INTO:
            OK(s3dlio_store_get_range_into_submit(store, "fixed", SIZE - 500, dst, 1000, queue, token, NULL, &err));
            break;
        case PUT:
            OK(s3dlio_store_put_submit(store, key, expected, SIZE, NULL, 0, queue, token, NULL, &err));
            break;
        case STAT: OK(s3dlio_store_stat_submit(store, "fixed", queue, token, NULL, &err)); break;
        case DELETE: OK(s3dlio_store_delete_submit(store, "none", queue, token, NULL, &err)); break;
        case OPEN: OK(s3dlio_reader_open_submit(store, "fixed", NULL, queue, token, NULL, &err)); break;
        case READ_AT: OK(s3dlio_reader_read_at_submit(reader, 7, dst, 1000, queue, token, NULL, &err)); break;
        default: OK(s3dlio_store_get_submit(store, "missing", queue, token, NULL, &err)); break;
        }
    }
    s3dlio_reader_free(reader); /* what is under way keeps it */
    for (int left = count; left > 0;) {
        struct epoll_event ready;
        int n = epoll_wait(loop, &ready, 1, 60000);
        if (n < 0 && errno == EINTR) continue;
        if (!CHECK(n == 1)) break;
        int32_t status;
        while ((status = s3dlio_queue_next(queue, 0, &event, sizeof event, &err)) == S3DLIO_OK) {
            int i = (int)event.token;
            snprintf(key, sizeof key, "operation %d", i);
            unsigned char *dst = memory + (size_t)i * SIZE;
            check_(seen[i]++ == 0 && good(i, &event, expected, dst), __FILE__, __LINE__, b->root, key);
            memset(dst, 0xee, SIZE); /* ours again: nobody may write to it from now on */
            release(&event);
            left--;
        }
        CHECK(status == S3DLIO_TIMEOUT);
    }
    repeating = 0;
    CHECK(!readable(queue));
    CHECK(s3dlio_queue_next(queue, 1, &event, sizeof event, &err) == S3DLIO_TIMEOUT);
    int touched = 0, missed = 0;
    for (int i = 0; i < count; i++) {
        missed += seen[i] != 1;
        for (size_t k = 0; k < SIZE; k++) touched += memory[(size_t)i * SIZE + k] != 0xee;
    }
    CHECK(missed == 0 && touched == 0);
    OK(s3dlio_queue_close(queue, 0, &err));
    CHECK(s3dlio_queue_next(queue, -1, &event, sizeof event, &err) == S3DLIO_END);
    STATUS(S3DLIO_ERR_INVALID_STATE, s3dlio_store_get_submit(store, "fixed", queue, 1, NULL, &err));
    close(loop);
    s3dlio_queue_free(queue);
    OK(s3dlio_store_delete_prefix(store, "put", NULL, &err));
    s3dlio_store_free(store);
    free(expected);
    free(memory);
    free(seen);
}

static int32_t wait_for(s3dlio_queue *queue, uint64_t token, s3dlio_event *event) {
    s3dlio_error *err = NULL;
    if (!OK(s3dlio_queue_next(queue, 60000, event, sizeof *event, &err))) return S3DLIO_ERR_INTERNAL;
    CHECK(event->token == token);
    return event->status;
}

/* A writer, a sequential reader and a listing: one at a time, and each says so. */
static void streams(const backend *b) {
    s3dlio_error *err = NULL;
    s3dlio_queue *queue = NULL;
    s3dlio_writer *writer = NULL;
    s3dlio_reader *reader = NULL;
    s3dlio_lister *lister = NULL;
    s3dlio_op *op = NULL;
    s3dlio_event event;
    s3dlio_store *store = open_backend(b);
    unsigned char *data = malloc(LARGE), *got = malloc(LARGE);
    uint64_t done = 0, total = 0;
    fill(data, LARGE, 11);
    OK(s3dlio_queue_new(&queue, &err));
    OK(s3dlio_writer_open(store, "streamed", NULL, NULL, 0, &writer, &err));
    OK(s3dlio_writer_write_submit(writer, data, LARGE, queue, 1, &op, &err));
    CHECK(wait_for(queue, 1, &event) == S3DLIO_OK && event.bytes == LARGE);
    OK(s3dlio_op_progress(op, &done, &total, &err));
    CHECK(total == LARGE);
    s3dlio_op_free(op);
    OK(s3dlio_writer_write_submit(writer, NULL, 0, queue, 2, NULL, &err)); /* the event freed the writer for it */
    CHECK(wait_for(queue, 2, &event) == S3DLIO_OK);
    OK(s3dlio_writer_finish_submit(writer, queue, 3, NULL, &err));
    CHECK(wait_for(queue, 3, &event) == S3DLIO_OK && event.written->bytes == LARGE && event.written->finished == 1);
    release(&event);
    OK(s3dlio_writer_abort_submit(writer, queue, 4, NULL, &err));
    CHECK(wait_for(queue, 4, &event) == S3DLIO_ERR_INVALID_STATE); /* it is published */
    release(&event);
    s3dlio_writer_free(writer);

    OK(s3dlio_reader_open_submit(store, "streamed", NULL, queue, 5, NULL, &err));
    CHECK(wait_for(queue, 5, &event) == S3DLIO_OK);
    reader = event.reader;
    OK(s3dlio_reader_read_submit(reader, got, LARGE, queue, 6, NULL, &err));
    CHECK(wait_for(queue, 6, &event) == S3DLIO_OK && event.bytes == LARGE && memcmp(got, data, LARGE) == 0);
    OK(s3dlio_reader_read_submit(reader, got, 1, queue, 7, NULL, &err));
    CHECK(wait_for(queue, 7, &event) == S3DLIO_END && event.bytes == 0);
    s3dlio_reader_free(reader);

    OK(s3dlio_store_get_into_submit(store, "streamed", got, LARGE, queue, 8, &op, &err));
    CHECK(wait_for(queue, 8, &event) == S3DLIO_OK);
    OK(s3dlio_op_progress(op, &done, &total, &err));
    CHECK(done == LARGE && total == UINT64_MAX);
    OK(s3dlio_op_cancel(op, &err)); /* too late, and harmless */
    s3dlio_op_free(op);
    OK(s3dlio_store_get_into_submit(store, "streamed", got, 10, queue, 9, NULL, &err));
    CHECK(wait_for(queue, 9, &event) == S3DLIO_ERR_BUFFER_TOO_SMALL);
    CHECK(event.error != NULL && s3dlio_error_detail(event.error, "required") != NULL);
    release(&event);

    OK(s3dlio_store_list(store, "", 1, &lister, &err));
    int entries = 0;
    for (uint64_t token = 10;; token++) {
        OK(s3dlio_lister_page_submit(lister, queue, token, NULL, &err));
        int32_t status = wait_for(queue, token, &event);
        for (size_t i = 0; i < event.info_count; i++) entries += strcmp(event.infos[i]->key, "streamed") == 0;
        release(&event);
        if (!CHECK(status == S3DLIO_OK || status == S3DLIO_END) || status == S3DLIO_END) break;
    }
    CHECK(entries == 1);
    s3dlio_lister_free(lister);
    s3dlio_queue_free(queue);
    OK(s3dlio_store_delete_prefix(store, "", NULL, &err));
    s3dlio_store_free(store);
    free(data);
    free(got);
}

/* A server that takes connections and never answers: what is sent there stays under way. */
static s3dlio_store *silent(int *listener) {
    s3dlio_error *err = NULL;
    s3dlio_store *store = NULL;
    char endpoint[64];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    *listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(*listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(*listener, 256) == 0);
    CHECK(getsockname(*listener, (struct sockaddr *)&address, &length) == 0);
    snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%d", ntohs(address.sin_port));
    const char *const pairs[] = {"s3.endpoint", endpoint, "s3.region", "us-east-1", "s3.access_key_id",
                                 "a", "s3.secret_access_key", "b", NULL};
    s3dlio_options *options = options_of(pairs);
    OK(s3dlio_store_open("s3://silent", options, &store, &err));
    s3dlio_options_free(options);
    return store;
}

typedef struct {
    unsigned char memory[PENDING][1000];
    s3dlio_op *ops[PENDING];
} pending;

/* Gets and puts that never end by themselves. */
static void submit_pending(s3dlio_store *store, s3dlio_queue *queue, pending *p) {
    s3dlio_error *err = NULL;
    for (int i = 0; i < PENDING; i++) {
        if (i % 2) {
            OK(s3dlio_store_get_into_submit(store, "k", p->memory[i], 1000, queue, (uint64_t)i, &p->ops[i], &err));
        } else {
            OK(s3dlio_store_put_submit(store, "k", p->memory[i], 1000, NULL, 0, queue, (uint64_t)i, &p->ops[i], &err));
        }
    }
}

/* One event of this status for each, and no more. */
static void expect_all(s3dlio_queue *queue, int32_t status, int count) {
    s3dlio_error *err = NULL;
    s3dlio_event event;
    unsigned char seen[PENDING] = {0};
    for (int i = 0; i < count; i++) {
        if (!OK(s3dlio_queue_next(queue, 60000, &event, sizeof event, &err))) return;
        check_(event.status == status && event.token < PENDING && seen[event.token]++ == 0, __FILE__, __LINE__,
               "an event each", s3dlio_error_message(event.error));
        CHECK(s3dlio_error_detail(event.error, "uri") != NULL);
        release(&event);
    }
    CHECK(s3dlio_queue_next(queue, 0, &event, sizeof event, &err) != S3DLIO_OK && !readable(queue));
}

static void free_ops(pending *p) {
    for (int i = 0; i < PENDING; i++) s3dlio_op_free(p->ops[i]);
}

typedef struct {
    s3dlio_queue *queue;
    int32_t status;
} waiter;

static void *wait_on_thread(void *argument) {
    waiter *w = argument;
    s3dlio_event event;
    s3dlio_error *err = NULL;
    while ((w->status = s3dlio_queue_next(w->queue, -1, &event, sizeof event, &err)) == S3DLIO_OK) release(&event);
    s3dlio_error_free(err);
    return NULL;
}

static void ends(void) {
    s3dlio_error *err = NULL;
    s3dlio_queue *queue = NULL;
    s3dlio_event event;
    int listener;
    s3dlio_store *store = silent(&listener);
    static pending p; /* outlives what a freed queue had under way */

    /* Cancel, one by one. */
    OK(s3dlio_queue_new(&queue, &err));
    submit_pending(store, queue, &p);
    CHECK(s3dlio_queue_next(queue, 20, &event, sizeof event, &err) == S3DLIO_TIMEOUT && !readable(queue));
    OK(s3dlio_op_cancel(p.ops[3], &err));
    OK(s3dlio_queue_next(queue, 60000, &event, sizeof event, &err));
    CHECK(event.token == 3 && event.status == S3DLIO_ERR_CANCELLED);
    release(&event);
    for (int i = 0; i < PENDING; i++) OK(s3dlio_op_cancel(p.ops[i], &err));
    expect_all(queue, S3DLIO_ERR_CANCELLED, PENDING - 1);
    free_ops(&p);

    /* Shutdown ends what is under way; the queue and its events stay, and the queue works on. */
    submit_pending(store, queue, &p);
    OK(s3dlio_shutdown(60000, &err));
    CHECK(readable(queue));
    expect_all(queue, S3DLIO_ERR_SHUTDOWN, PENDING);
    free_ops(&p);
    submit_pending(store, queue, &p);

    /* Close with cancel; a thread that waits sees the events and then the end. */
    waiter w = {.queue = queue};
    pthread_t threads[2];
    waiter second = {.queue = queue};
    CHECK(pthread_create(&threads[0], NULL, wait_on_thread, &w) == 0);
    CHECK(pthread_create(&threads[1], NULL, wait_on_thread, &second) == 0);
    OK(s3dlio_queue_close(queue, 1, &err));
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    CHECK(w.status == S3DLIO_END && second.status == S3DLIO_END);
    CHECK(s3dlio_queue_next(queue, -1, &event, sizeof event, &err) == S3DLIO_END);
    free_ops(&p);
    s3dlio_queue_free(queue);

    /* Free with operations under way: nothing hangs, nothing leaks, shutdown has nothing to wait for. */
    OK(s3dlio_queue_new(&queue, &err));
    submit_pending(store, queue, &p);
    s3dlio_queue_free(queue);
    STATUS(S3DLIO_ERR_BAD_HANDLE, s3dlio_queue_next(queue, -1, &event, sizeof event, &err));
    OK(s3dlio_op_cancel(p.ops[0], &err));
    free_ops(&p);
    OK(s3dlio_shutdown(60000, &err));

    /* A writer that is busy refuses; the event sets it free. */
    s3dlio_writer *writer = NULL;
    unsigned char *data = calloc(40, 1 << 20);
    OK(s3dlio_queue_new(&queue, &err));
    OK(s3dlio_writer_open(store, "w", NULL, NULL, 0, &writer, &err));
    OK(s3dlio_writer_write_submit(writer, data, 40 << 20, queue, 0, &p.ops[0], &err));
    STATUS(S3DLIO_ERR_INVALID_STATE, s3dlio_writer_write(writer, "x", 1, &err));
    STATUS(S3DLIO_ERR_INVALID_STATE, s3dlio_writer_finish_submit(writer, queue, 1, NULL, &err));
    OK(s3dlio_op_cancel(p.ops[0], &err));
    expect_all(queue, S3DLIO_ERR_CANCELLED, 1);
    memset(data, 1, 40 << 20);
    STATUS(S3DLIO_ERR_CANCELLED, s3dlio_writer_write(writer, "x", 1, &err));
    close(listener); /* so that the abort of the upload has not to wait */
    s3dlio_writer_free(writer);
    s3dlio_op_free(p.ops[0]);
    s3dlio_queue_free(queue);
    s3dlio_store_free(store);
    free(data);
}

int main(void) {
    char folder[64];
    backend all[8];
    s3dlio_error *err = NULL;
    s3dlio_stats stats;
    watchdog();
    temporary_folder(folder);
    int n = backends(all, folder, "queue");
    for (int k = 0; k < n; k++) {
        mixed(&all[k]);
        streams(&all[k]);
        s3dlio_options_free(all[k].options);
    }
    ends();
    OK(s3dlio_get_stats(&stats, sizeof stats, &err));
    CHECK(stats.handles == 0);
    OK(s3dlio_shutdown(60000, &err));
    remove_folder(folder);
    return summary("queue");
}
