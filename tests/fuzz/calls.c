/* The C API as a program of bytes: three of them are one call, by number, on a live, stale, foreign or NULL
 * handle, with an argument. Whatever is called in whatever order: the documented status for a bad handle, no
 * output of a call that failed, one event for each submit, exact bytes, and no handle left behind. */
#include "exports.h"

enum { SLOTS = 4, MOST_CALLS = 80, KEYS = 3, MOST_BYTES = 9000, OWN_CALLS = 12, PAST = 32 };

#define MUST(condition, what)                                                                                  \
    do {                                                                                                       \
        if (!(condition)) fail(what, __LINE__);                                                                \
    } while (0)

static void fail(const char *what, int line) {
    fprintf(stderr, "calls.c:%d: %s\n", line, what);
    abort();
}

static void *live[HANDLE_TYPES][SLOTS];
static void *stale[HANDLE_TYPES];
static void *past[HANDLE_TYPES][PAST]; /* freed earlier, in programs before this one, too */
static unsigned pasts;
static int submitted; /* promised events of the shared queue */

/* What the store `model` must hold: the length of each key's object, or -1, and what fills it. */
static s3dlio_store *model;
static int lengths[KEYS];
static unsigned seeds[KEYS];

static void forget(enum handle_type type, void *handle) {
    if (handle == NULL) return;
    stale[type] = handle;
    past[type][pasts++ % PAST] = handle;
}

/* Whether a call takes the handle for a live one. */
static int is_live(enum handle_type type, void *h) {
    uint64_t number;
    int32_t fd;
    s3dlio_write_stats written;
    s3dlio_loader_stats loaded;
    s3dlio_options *clone;
    s3dlio_object_info info;
    switch (type) {
    case ERROR: return s3dlio_error_code(h) != 0;
    case BUFFER: return s3dlio_buffer_size(h) != 0;
    case OPTIONS: return s3dlio_options_clone(h, &clone, NULL) != S3DLIO_ERR_BAD_HANDLE;
    case STORE: return s3dlio_store_uri(h) != NULL;
    case LISTER: return s3dlio_lister_next(h, &info, sizeof info, NULL) != S3DLIO_ERR_BAD_HANDLE;
    case READER: return s3dlio_reader_size(h, &number, NULL) != S3DLIO_ERR_BAD_HANDLE;
    case WRITER: return s3dlio_writer_get_stats(h, &written, sizeof written, NULL) != S3DLIO_ERR_BAD_HANDLE;
    case QUEUE: return s3dlio_queue_fd(h, &fd, NULL) != S3DLIO_ERR_BAD_HANDLE;
    case OP: return s3dlio_op_progress(h, NULL, NULL, NULL) != S3DLIO_ERR_BAD_HANDLE;
    case SAVE: return s3dlio_checkpoint_writer_id(h) != NULL;
    case SHARD: return s3dlio_checkpoint_shard_commit(h, 0, NULL) != S3DLIO_ERR_BAD_HANDLE;
    case CHECKPOINT: return s3dlio_checkpoint_validate(h, 0, NULL) != S3DLIO_ERR_BAD_HANDLE;
    case DATASET: return s3dlio_dataset_length(h, &number, NULL) != S3DLIO_ERR_BAD_HANDLE;
    case LOADER: return s3dlio_loader_get_stats(h, &loaded, sizeof loaded, NULL) != S3DLIO_ERR_BAD_HANDLE;
    case BATCH: return s3dlio_batch_count(h) != 0;
    default: return 0;
    }
}

/* Keeps a new handle, in the place of an older one. */
static void keep(enum handle_type type, void *handle, int slot) {
    if (handle == NULL) return;
    void **place = &live[type][slot % SLOTS];
    free_handle(type, *place);
    forget(type, *place);
    *place = handle;
}

static void keep_error(s3dlio_error *err, int32_t status, int slot) {
    MUST((status < 0) == (err != NULL), "a failure without an error, or an error without a failure");
    if (err == NULL) return;
    MUST(s3dlio_error_code(err) == status, "the error has another code");
    MUST(s3dlio_error_message(err)[0] != 0, "the error has no message");
    MUST(status != S3DLIO_ERR_INTERNAL && status != S3DLIO_ERR_POISONED, s3dlio_error_message(err));
    keep(ERROR, err, slot);
}

static void release(s3dlio_event *event) {
    s3dlio_buffer_free(event->data);
    s3dlio_error_free(event->error);
    s3dlio_reader_free(event->reader);
    s3dlio_batch_free(event->batch);
}

/* Process-wide switches, and those that take the table's own handles. */
static int is_left_out(const char *name) {
    return strcmp(name, "s3dlio_shutdown") == 0 || strncmp(name, "s3dlio_log_", 11) == 0;
}

/* A function of the table, on the handle that `choice` names. */
static void from_table(const export_entry *e, unsigned char choice, unsigned char argument) {
    if (is_left_out(e->name)) return;
    void *handle = NULL;
    int32_t expected = S3DLIO_ERR_INVALID_ARGUMENT; /* of NULL */
    int good = e->handle == NONE;
    enum handle_type other = (enum handle_type)(ERROR + argument % (HANDLE_TYPES - ERROR));
    switch (choice % 8) {
    case 0: break;
    case 1: handle = stale[e->handle], expected = S3DLIO_ERR_BAD_HANDLE; break;
    case 2:
        handle = other == e->handle ? (void *)(uintptr_t)(argument | 1) : live[other][argument % SLOTS];
        expected = S3DLIO_ERR_BAD_HANDLE;
        break;
    default: handle = live[e->handle][choice / 8 % SLOTS], good = good || handle != NULL;
    }
    if (handle == NULL) expected = S3DLIO_ERR_INVALID_ARGUMENT;
    scratch s;
    s3dlio_error *err = NULL;
    prepare(&s);
    int32_t got = e->call(handle, &s, &err);
    if (s3dlio_buffer_size(shared_buffer) == 0) { /* a writer took it over */
        MUST(s3dlio_buffer_new(8, &shared_buffer, NULL) == S3DLIO_OK, "buffer_new");
    }
    if (!good) {
        int nullable = e->result == NULLABLE && handle == NULL;
        int32_t want = e->result == VALUE ? 1 : e->result == FREE ? 0 : expected;
        MUST(nullable || got == want, e->name);
    } else if (e->result == FREE) {
        forget(e->handle, handle);
        live[e->handle][choice / 8 % SLOTS] = NULL;
    }
    int has_status = e->result == STATUS_ || e->result == NULLABLE;
    if (!has_status) return;
    if (got < 0) MUST(untouched(&s), "a call that failed wrote an output");
    if (strcmp(e->name, "s3dlio_error_detail_at") != 0) keep_error(err, got, argument);
    s3dlio_error_free(s.check.error);
    s3dlio_error_free(s.got.error);
    if (got != S3DLIO_OK) return;
    void *made[] = {s.buffer, s.options, s.store,      s.lister,  s.reader, s.writer, s.queue,   s.op,
                    s.save,   s.shard,   s.checkpoint, s.dataset, s.loader, s.batch,  s.got.data};
    const enum handle_type types[] = {BUFFER, OPTIONS, STORE,      LISTER,  READER, WRITER, QUEUE, OP,
                                      SAVE,   SHARD,   CHECKPOINT, DATASET, LOADER, BATCH,  BUFFER};
    _Static_assert(HANDLE_TYPES - BUFFER + 1 == sizeof types / sizeof types[0], "each type of handle is kept");
    scratch none;
    prepare(&none);
    for (size_t i = 0; i < sizeof made / sizeof made[0]; i++) {
        if (made[i] != (void *)none.buffer) keep(types[i], made[i], argument);
    }
    if (strcmp(e->name, "s3dlio_queue_next") == 0) release(&s.event);
    submitted += strstr(e->name, "_submit") != NULL && strcmp(e->name, "s3dlio_queue_next") != 0;
}

/* Arguments of all sizes on the model's store, and on handles beside it. */
static void own_call(int number, unsigned char choice, unsigned char argument) {
    static unsigned char memory[MOST_BYTES + 1], wanted[MOST_BYTES];
    char key[8];
    s3dlio_error *err = NULL;
    s3dlio_buffer *data = NULL;
    size_t n = 0;
    int at = choice % KEYS, slot = choice / KEYS % SLOTS, length = (argument * 37) % MOST_BYTES;
    int there = lengths[at] >= 0;
    uint64_t offset = argument % 5 == 4 ? UINT64_MAX - argument : (uint64_t)argument * 40;
    int32_t status;
    snprintf(key, sizeof key, "m%d", at);
    fill(wanted, sizeof wanted, seeds[at]);
    switch (number) {
    case 0:
        fill(memory, (size_t)length, argument);
        status = s3dlio_store_put(model, key, memory, (size_t)length, NULL, 0, NULL, 0, &err);
        MUST(status == S3DLIO_OK, "put");
        lengths[at] = length;
        seeds[at] = argument;
        break;
    case 1:
        status = s3dlio_store_get(model, key, &data, &err);
        MUST(status == (there ? S3DLIO_OK : S3DLIO_ERR_NOT_FOUND), "get");
        MUST(!there || (s3dlio_buffer_size(data) == (size_t)lengths[at] &&
                        memcmp(s3dlio_buffer_data(data), wanted, (size_t)lengths[at]) == 0),
             "wrong bytes");
        keep(BUFFER, data, slot);
        break;
    case 2:
        status = s3dlio_store_get_range_into(model, key, offset, memory, (size_t)length, &n, &err);
        if (status == S3DLIO_OK) {
            MUST(there && offset + n <= (uint64_t)lengths[at], "bytes past the end");
            MUST(n == (size_t)length || offset + n == (uint64_t)lengths[at], "too few bytes");
            MUST(memcmp(memory, wanted + offset, n) == 0, "wrong bytes of a range");
        } else {
            MUST(status == (there ? S3DLIO_ERR_RANGE : S3DLIO_ERR_NOT_FOUND) || offset > MOST_BYTES, "range");
        }
        break;
    case 3:
        status = s3dlio_store_get_into(model, key, memory, (size_t)length, &n, &err);
        MUST(status == (!there                    ? S3DLIO_ERR_NOT_FOUND
                        : length < lengths[at] ? S3DLIO_ERR_BUFFER_TOO_SMALL
                                               : S3DLIO_OK),
             "get_into");
        MUST(status != S3DLIO_OK || memcmp(memory, wanted, n) == 0, "wrong bytes");
        break;
    case 4:
        status = s3dlio_store_delete(model, key, &err);
        MUST(status == S3DLIO_OK, "delete");
        lengths[at] = -1;
        break;
    case 5: {
        char to[8];
        int target = argument % KEYS;
        snprintf(to, sizeof to, "m%d", target);
        status = argument % 2 ? s3dlio_store_copy(model, key, to, &err) : s3dlio_store_rename(model, key, to, &err);
        if (status == S3DLIO_OK) {
            MUST(there, "a copy of nothing");
            lengths[target] = lengths[at];
            seeds[target] = seeds[at];
            if (argument % 2 == 0 && target != at) lengths[at] = -1;
        } else {
            MUST(!there || target == at, "copy or rename");
        }
        break;
    }
    case 6:
        status = s3dlio_reader_seek(live[READER][slot], (int64_t)argument - 100, argument % 4, NULL, &err);
        break;
    case 7:
        status = s3dlio_reader_read(live[READER][slot], memory, (size_t)length, &n, &err);
        break;
    case 8:
        fill(memory, (size_t)length, argument);
        status = s3dlio_writer_write(live[WRITER][slot], memory, (size_t)length, &err);
        break;
    case 9: {
        void *room = NULL;
        status = s3dlio_writer_reserve(live[WRITER][slot], (size_t)length, &room, &n, &err);
        if (status == S3DLIO_OK) {
            MUST(n >= (size_t)length, "less room than was asked for");
            memset(room, argument, n); /* all of it is ours */
        }
        break;
    }
    case 10: status = s3dlio_writer_commit(live[WRITER][slot], (size_t)length, &err); break;
    default: {
        s3dlio_event event;
        status = s3dlio_queue_next(shared_queue, 0, &event, sizeof event, &err);
        if (status == S3DLIO_OK) {
            submitted--;
            release(&event);
        }
    }
    }
    keep_error(err, status, slot);
}

/* After every program: all promised events, all handles given back. */
static void clean_up(uint64_t handles) {
    for (int type = ERROR; type < HANDLE_TYPES; type++) {
        for (int slot = 0; slot < SLOTS; slot++) {
            forget((enum handle_type)type, live[type][slot]);
            free_handle((enum handle_type)type, live[type][slot]);
            live[type][slot] = NULL;
        }
    }
    s3dlio_event event;
    for (; submitted > 0; submitted--) {
        int32_t status = s3dlio_queue_next(shared_queue, 10000, &event, sizeof event, NULL);
        MUST(status == S3DLIO_OK, "an event did not come");
        release(&event);
    }
    MUST(s3dlio_queue_next(shared_queue, 0, &event, sizeof event, NULL) == S3DLIO_TIMEOUT, "an event too many");
    MUST(s3dlio_store_delete_prefix(model, "", NULL, NULL) == S3DLIO_OK, "delete_prefix");
    s3dlio_store_free(model);
    s3dlio_stats stats;
    MUST(s3dlio_get_stats(&stats, sizeof stats, NULL) == S3DLIO_OK, "stats");
    if (stats.handles != handles) fprintf(stderr, "%d handles, not %d\n", (int)stats.handles, (int)handles);
    MUST(stats.handles == handles, "handles were left behind");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length) {
    if (shared_queue == NULL) {
        MUST(s3dlio_queue_new(&shared_queue, NULL) == S3DLIO_OK, "queue_new");
        MUST(s3dlio_buffer_new(8, &shared_buffer, NULL) == S3DLIO_OK, "buffer_new");
    }
    s3dlio_stats stats;
    MUST(s3dlio_get_stats(&stats, sizeof stats, NULL) == S3DLIO_OK, "stats");
    void *first[HANDLE_TYPES];
    live_handles(first);
    free_handle(NONE, first[NONE]);
    for (int type = ERROR; type < HANDLE_TYPES; type++) live[type][0] = first[type];
    MUST(s3dlio_store_open("memory://model", NULL, &model, NULL) == S3DLIO_OK, "open");
    s3dlio_store_create_container(model, NULL);
    for (int type = ERROR; type < HANDLE_TYPES; type++) {
        for (int i = 0; i < PAST; i++) {
            MUST(past[type][i] == NULL || !is_live((enum handle_type)type, past[type][i]), "a freed handle lives again");
        }
    }
    for (int at = 0; at < KEYS; at++) lengths[at] = -1;
    for (size_t at = 0; at + 3 <= length && at < 3 * MOST_CALLS; at += 3) {
        int number = data[at] % (EXPORT_COUNT + OWN_CALLS);
        if (number < EXPORT_COUNT) {
            from_table(&exports[number], data[at + 1], data[at + 2]);
        } else {
            own_call(number - EXPORT_COUNT, data[at + 1], data[at + 2]);
        }
    }
    clean_up(stats.handles);
    return 0;
}
