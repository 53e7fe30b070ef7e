/* Every export with NULL, stale, foreign and invented handles, alone and from many threads at once:
 * the documented status, no output written, no crash. With --list it prints the table's names. */
#include "exports.h"

enum { THREADS = 8, ROUNDS = 40 };

/* Addresses and numbers that are no handles. */
static void *invented[] = {(void *)1, (void *)2, (void *)7, (void *)0x7ffdeadbeef1, (void *)INTPTR_MAX,
                           (void *)UINTPTR_MAX, &shared_buffer};
enum { INVENTED = sizeof invented / sizeof invented[0] };

static void *stale[HANDLE_TYPES]; /* freed */
static void *live[HANDLE_TYPES];

static void refuse(const export_entry *e, void *handle, int32_t expected, const char *what) {
    scratch s;
    s3dlio_error *err = NULL;
    char detail[200];
    prepare(&s);
    int32_t got = e->call(handle, &s, &err);
    int32_t want = e->result == VALUE ? 1 : e->result == FREE ? 0 : expected;
    snprintf(detail, sizeof detail, "%s: %s, not %s", what, s3dlio_status_name(got), s3dlio_status_name(want));
    check_(got == want, __FILE__, __LINE__, e->name, detail);
    check_(untouched(&s), __FILE__, __LINE__, e->name, "an output was written");
    if (want < 0 && strcmp(e->name, "s3dlio_error_detail_at") != 0) {
        check_(s3dlio_error_code(err) == want, __FILE__, __LINE__, e->name, "the error has another code");
    }
    if (strcmp(e->name, "s3dlio_store_get_many") == 0) CHECK(s.got.status == want);
    if (strcmp(e->name, "s3dlio_store_validate_many") == 0) CHECK(s.check.status == want);
    if (strcmp(e->name, "s3dlio_store_put_many") == 0) CHECK(s.item.status == want);
    s3dlio_error_free(err);
    /* The same without asking for the error. */
    prepare(&s);
    CHECK(e->call(handle, &s, NULL) == want);
}

static void refuse_all(void) {
    for (int i = 0; i < EXPORT_COUNT; i++) {
        const export_entry *e = &exports[i];
        if (e->handle == NONE) continue;
        if (e->result != NULLABLE) refuse(e, NULL, S3DLIO_ERR_INVALID_ARGUMENT, "NULL");
        refuse(e, stale[e->handle], S3DLIO_ERR_BAD_HANDLE, "stale");
        free_handle(e->handle, stale[e->handle]);
        refuse(e, stale[e->handle], S3DLIO_ERR_BAD_HANDLE, "freed twice");
        for (int type = ERROR; type < HANDLE_TYPES; type++) {
            if (type != (int)e->handle) refuse(e, live[type], S3DLIO_ERR_BAD_HANDLE, "wrong type");
        }
        for (int k = 0; k < INVENTED; k++) refuse(e, invented[k], S3DLIO_ERR_BAD_HANDLE, "invented");
    }
}

static void *refuse_on_thread(void *unused) {
    (void)unused;
    repeating = 1;
    for (int round = 0; round < repeat(ROUNDS); round++) refuse_all();
    return NULL;
}

/* Takes what events the shared queue has. */
static void take_shared(void) {
    s3dlio_event event;
    while (s3dlio_queue_next(shared_queue, 0, &event, sizeof event, NULL) == S3DLIO_OK) {
        free_handle(BUFFER, event.data);
        free_handle(ERROR, event.error);
        free_handle(READER, event.reader);
        free_handle(BATCH, event.batch);
    }
}

/* Many threads call everything on the same live handles while all of them free these. */
static void *race[HANDLE_TYPES];
static pthread_barrier_t barrier;

static void *free_under_use(void *number) {
    int at = (int)(intptr_t)number;
    repeating = 1;
    for (int round = 0; round < repeat(ROUNDS); round++) {
        if (at == 0) live_handles(race);
        pthread_barrier_wait(&barrier);
        for (int k = 0; k < EXPORT_COUNT; k++) {
            const export_entry *e = &exports[(k + at * 11) % EXPORT_COUNT];
            if (e->handle == NONE || strstr(e->name, "container")) continue;
            scratch s;
            s3dlio_error *err = NULL;
            prepare(&s);
            int32_t got = e->call(race[e->handle], &s, &err);
            check_(got != S3DLIO_ERR_INTERNAL && got != S3DLIO_ERR_POISONED, __FILE__, __LINE__, e->name,
                   s3dlio_error_message(err));
            s3dlio_error_free(err);
            if (e->result == STATUS_ && got == 0) { /* what the call made */
                void *made[] = {s.buffer, s.options,  s.store,      s.lister,      s.reader,       s.writer, s.queue, s.op,
                                s.save,   s.shard,    s.checkpoint, s.got.data,    s.event.data,   s.event.error,
                                s.event.reader, s.event.batch, s.dataset, s.loader, s.batch};
                enum handle_type types[] = {BUFFER, OPTIONS, STORE,      LISTER, READER, WRITER, QUEUE, OP,
                                            SAVE,   SHARD,   CHECKPOINT, BUFFER, BUFFER, ERROR,  READER, BATCH, DATASET, LOADER, BATCH};
                for (size_t m = 0; m < sizeof made / sizeof made[0]; m++) {
                    if (made[m] != stale[NONE]) free_handle(types[m], made[m]);
                }
            }
            s3dlio_error_free(s.check.error);
            s3dlio_error_free(s.item.error);
            s3dlio_error_free(s.got.error);
            take_shared();
        }
        pthread_barrier_wait(&barrier);
        if (at == 0) {
            for (int type = ERROR; type < HANDLE_TYPES; type++) free_handle(type, race[type]);
        }
    }
    return NULL;
}

static void on_threads(void *(*body)(void *)) {
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) CHECK(pthread_create(&threads[i], NULL, body, (void *)(intptr_t)i) == 0);
    for (int i = 0; i < THREADS; i++) CHECK(pthread_join(threads[i], NULL) == 0);
}

/* NULL and nonsense in every other argument. */
static void other_arguments(void) {
    s3dlio_error *err = NULL;
    scratch s;
    prepare(&s);
    void *store = live[STORE], *reader = live[READER], *writer = live[WRITER], *options = live[OPTIONS];
    void *lister = live[LISTER], *buffer = live[BUFFER], *old = stale[OPTIONS];
    size_t n = 0;
    char memory[8];
#define REFUSED(call) STATUS(S3DLIO_ERR_INVALID_ARGUMENT, call)
#define BAD(call) STATUS(S3DLIO_ERR_BAD_HANDLE, call)
    REFUSED(s3dlio_get_stats(NULL, sizeof s.stats, &err));
    REFUSED(s3dlio_get_stats(&s.stats, 0, &err));
    REFUSED(s3dlio_get_stats(&s.stats, 1u << 20, &err));
    REFUSED(s3dlio_stats_json(NULL, &err));
    REFUSED(s3dlio_stats_prometheus(NULL, &err));
    REFUSED(s3dlio_oplog_start("", NULL, &err));
    REFUSED(s3dlio_oplog_start(NULL, NULL, &err));
    BAD(s3dlio_oplog_start("/dev/null", (s3dlio_options *)store, &err));
    STATUS(S3DLIO_ERR_NOT_FOUND, s3dlio_oplog_start("/nowhere/log.tsv", NULL, &err));
    STATUS(S3DLIO_ERR_INVALID_STATE, s3dlio_oplog_stop(NULL, NULL, &err));
    /* P1: the functions are in every build, and say when a build cannot profile. */
    const int32_t cannot = s3dlio_has_feature("profiling") ? S3DLIO_ERR_INVALID_STATE : S3DLIO_ERR_UNSUPPORTED;
    STATUS(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_profile_start(1001, &err));
    STATUS(cannot, s3dlio_profile_stop(NULL, &err));
    STATUS(cannot, s3dlio_profile_stop("/nowhere/profile.svg", &err));
    REFUSED(s3dlio_profile_stop("\xff", &err));
    REFUSED(s3dlio_log_to_fd(-7, NULL, &err));
    REFUSED(s3dlio_log_to_fd(1000000, NULL, &err));
    STATUS(S3DLIO_ERR_INVALID_OPTION, s3dlio_log_to_fd(2, "loud", &err));
    STATUS(S3DLIO_ERR_INVALID_OPTION, s3dlio_log_set_callback(no_log, NULL, "loud", &err));
    REFUSED(s3dlio_buffer_new(1, NULL, &err));
    REFUSED(s3dlio_buffer_new(SIZE_MAX, &s.buffer, &err));
    REFUSED(s3dlio_buffer_new(SIZE_MAX / 2 + 1, &s.buffer, &err));
    STATUS(S3DLIO_ERR_OUT_OF_MEMORY, s3dlio_buffer_new(SIZE_MAX / 2 - 8192, &s.buffer, &err));
    REFUSED(s3dlio_buffer_clone(buffer, NULL, &err));
    REFUSED(s3dlio_options_new(NULL, &err));
    REFUSED(s3dlio_options_set(options, NULL, "1", &err));
    REFUSED(s3dlio_options_set(options, "s3.region", NULL, &err));
    REFUSED(s3dlio_options_set(options, "s3.region", "\xff\xfe", &err));
    STATUS(S3DLIO_ERR_UNKNOWN_OPTION, s3dlio_options_set(options, "s3.regoin", "x", &err));
    STATUS(S3DLIO_ERR_INVALID_OPTION, s3dlio_options_set_u64(options, "s3.anonymous", 7, &err));
    REFUSED(s3dlio_options_set_u64(options, NULL, 7, &err));
    REFUSED(s3dlio_options_get(options, NULL, &s.buffer, &err));
    REFUSED(s3dlio_options_get(options, "s3.region", NULL, &err));
    REFUSED(s3dlio_options_clone(options, NULL, &err));
    REFUSED(s3dlio_option_at(s3dlio_option_count(), &s.option, sizeof s.option, &err));
    REFUSED(s3dlio_option_at(SIZE_MAX, &s.option, sizeof s.option, &err));
    REFUSED(s3dlio_option_at(0, NULL, sizeof s.option, &err));
    REFUSED(s3dlio_store_open(NULL, NULL, &s.store, &err));
    REFUSED(s3dlio_store_open("memory://x", NULL, NULL, &err));
    REFUSED(s3dlio_store_open("memory://\xc3", NULL, &s.store, &err));
    BAD(s3dlio_store_open("memory://x", old, &s.store, &err));
    BAD(s3dlio_store_open("memory://x", store, &s.store, &err));
    REFUSED(s3dlio_store_capabilities(store, NULL, 8, &err));
    REFUSED(s3dlio_store_get(store, NULL, &s.buffer, &err));
    REFUSED(s3dlio_store_get(store, "\xff", &s.buffer, &err));
    REFUSED(s3dlio_store_get(store, "key", NULL, &err));
    REFUSED(s3dlio_store_get_range(store, NULL, 0, 1, &s.buffer, &err));
    REFUSED(s3dlio_store_get_range(store, "key", 0, 1, NULL, &err));
    STATUS(S3DLIO_ERR_RANGE, s3dlio_store_get_range(store, "key", UINT64_MAX, 5, &s.buffer, &err));
    REFUSED(s3dlio_store_get_into(store, NULL, memory, 8, &n, &err));
    REFUSED(s3dlio_store_get_into(store, "key", NULL, 8, &n, &err));
    REFUSED(s3dlio_store_get_into(store, "key", memory, SIZE_MAX, &n, &err));
    REFUSED(s3dlio_store_get_into(store, "key", memory, 8, NULL, &err));
    STATUS(S3DLIO_ERR_BUFFER_TOO_SMALL, s3dlio_store_get_into(store, "key", NULL, 0, &n, &err));
    REFUSED(s3dlio_store_get_range_into(store, "key", 0, NULL, 1, &n, &err));
    REFUSED(s3dlio_store_get_range_into(store, "key", 0, memory, SIZE_MAX / 2 + 1, &n, &err));
    STATUS(S3DLIO_ERR_RANGE, s3dlio_store_get_range_into(store, "key", UINT64_MAX, memory, 1, &n, &err));
    REFUSED(s3dlio_store_get_ranges(store, "key", NULL, 1, &err));
    REFUSED(s3dlio_store_get_ranges(store, NULL, &s.range, 1, &err));
    REFUSED(s3dlio_store_get_ranges(store, "key", &s.range, SIZE_MAX / 2, &err));
    OK(s3dlio_store_get_ranges(store, "key", NULL, 0, &err));
    s3dlio_range overlap[2] = {{0, 4, memory, 0}, {1, 4, memory + 3, 0}};
    REFUSED(s3dlio_store_get_ranges(store, "key", overlap, 2, &err));
    REFUSED(s3dlio_reader_readv_at(reader, overlap, 2, &err));
    overlap[1].dst = NULL;
    REFUSED(s3dlio_store_get_ranges(store, "key", overlap, 2, &err));
    REFUSED(s3dlio_store_get_many(store, s.keys, 1, NULL, &err));
    REFUSED(s3dlio_store_get_many(store, NULL, 1, &s.got, &err));
    CHECK(s.got.status == S3DLIO_ERR_INVALID_ARGUMENT && s.got.data == NULL && s.got.error == NULL);
    OK(s3dlio_store_get_many(store, NULL, 0, NULL, &err));
    const char *no_key = NULL;
    REFUSED(s3dlio_store_get_many(store, &no_key, 1, &s.got, &err));
    CHECK(s3dlio_error_code(s.got.error) == S3DLIO_ERR_INVALID_ARGUMENT && s.got.data == NULL);
    s3dlio_error_free(s.got.error);
    REFUSED(s3dlio_store_put_many(store, NULL, 1, NULL, 0, &err));
    OK(s3dlio_store_put_many(store, NULL, 0, NULL, 0, &err));
    s.item.length = SIZE_MAX;
    REFUSED(s3dlio_store_put_many(store, &s.item, 1, NULL, 0, &err));
    CHECK(s.item.status == S3DLIO_ERR_INVALID_ARGUMENT && s3dlio_error_code(s.item.error) == s.item.status);
    s3dlio_error_free(s.item.error);
    s.item.length = 1;
    s3dlio_put_options unclear = {0};
    unclear.create_only = 2;
    REFUSED(s3dlio_store_put_many(store, &s.item, 1, &unclear, sizeof unclear, &err));
    CHECK(s.item.status == S3DLIO_ERR_INVALID_ARGUMENT && s.item.error == NULL);
    REFUSED(s3dlio_store_put(store, NULL, "x", 1, NULL, 0, NULL, 0, &err));
    REFUSED(s3dlio_store_put(store, "k", NULL, 1, NULL, 0, NULL, 0, &err));
    REFUSED(s3dlio_store_put(store, "k", "x", SIZE_MAX, NULL, 0, NULL, 0, &err));
    REFUSED(s3dlio_store_put(store, "k", "x", 1, NULL, 0, &s.written, 0, &err));
    struct {
        s3dlio_put_options known;
        uint64_t future;
    } put;
    memset(&put, 0, sizeof put);
    OK(s3dlio_store_put(store, "k", NULL, 0, &put.known, sizeof put, NULL, 0, &err));
    OK(s3dlio_store_put(store, "k", NULL, 0, &put.known, 8, NULL, 0, &err));
    put.future = 1;
    REFUSED(s3dlio_store_put(store, "k", "x", 1, &put.known, sizeof put, NULL, 0, &err));
    REFUSED(s3dlio_store_put(store, "k", "x", 1, &put.known, 0, NULL, 0, &err));
    put.known.create_only = 2;
    REFUSED(s3dlio_store_put(store, "k", "x", 1, &put.known, sizeof put.known, NULL, 0, &err));
    put.known.create_only = 1;
    put.known.if_match = "x";
    REFUSED(s3dlio_store_put(store, "k", "x", 1, &put.known, sizeof put.known, NULL, 0, &err));
    put.known.create_only = 0;
    put.known.if_match = NULL;
    put.known.reserved = 1;
    REFUSED(s3dlio_store_put(store, "k", "x", 1, &put.known, sizeof put.known, NULL, 0, &err));
    put.known.reserved = 0;
    put.known.metadata_count = 1;
    REFUSED(s3dlio_store_put(store, "k", "x", 1, &put.known, sizeof put.known, NULL, 0, &err));
    s3dlio_key_value twice[2] = {{"a", "1"}, {"a", "2"}};
    put.known.metadata = twice;
    put.known.metadata_count = 2;
    REFUSED(s3dlio_store_put(store, "k", "x", 1, &put.known, sizeof put.known, NULL, 0, &err));
    twice[1].key = NULL;
    REFUSED(s3dlio_store_put(store, "k", "x", 1, &put.known, sizeof put.known, NULL, 0, &err));
    REFUSED(s3dlio_writer_open(store, "k", NULL, &put.known, sizeof put.known, &s.writer, &err));
    REFUSED(s3dlio_store_stat(store, NULL, &s.info, sizeof s.info, NULL, &err));
    REFUSED(s3dlio_store_stat(store, "key", NULL, sizeof s.info, NULL, &err));
    REFUSED(s3dlio_store_exists(store, NULL, &s.flag, &err));
    REFUSED(s3dlio_store_exists(store, "key", NULL, &err));
    REFUSED(s3dlio_store_delete(store, NULL, &err));
    REFUSED(s3dlio_store_delete_prefix(store, NULL, &s.number, &err));
    REFUSED(s3dlio_store_copy(store, NULL, "x", &err));
    REFUSED(s3dlio_store_copy(store, "key", NULL, &err));
    REFUSED(s3dlio_store_rename(store, NULL, "x", &err));
    REFUSED(s3dlio_store_rename(store, "key", NULL, &err));
    REFUSED(s3dlio_store_list(store, NULL, 1, &s.lister, &err));
    REFUSED(s3dlio_store_list(store, "", 2, &s.lister, &err));
    REFUSED(s3dlio_store_list(store, "", 1, NULL, &err));
    REFUSED(s3dlio_store_list_containers(store, NULL, &err));
    REFUSED(s3dlio_store_validate(store, NULL, 0, 1, NULL, &err));
    STATUS(S3DLIO_ERR_RANGE, s3dlio_store_validate(store, "key", UINT64_MAX, 1, NULL, &err));
    REFUSED(s3dlio_store_validate_many(store, NULL, 1, &err));
    s.check.has_crc32c = 3;
    REFUSED(s3dlio_store_validate_many(store, &s.check, 1, &err));
    CHECK(s.check.status == S3DLIO_ERR_INVALID_ARGUMENT && s.check.error != NULL);
    s3dlio_error_free(s.check.error);
    REFUSED(s3dlio_get(NULL, NULL, &s.buffer, &err));
    REFUSED(s3dlio_get("memory://exports/key", NULL, NULL, &err));
    BAD(s3dlio_get("memory://exports/key", old, &s.buffer, &err));
    REFUSED(s3dlio_put(NULL, NULL, "x", 1, &err));
    REFUSED(s3dlio_put("memory://exports/k", NULL, NULL, 1, &err));
    BAD(s3dlio_put("memory://exports/k", old, "x", 1, &err));
    REFUSED(s3dlio_stat(NULL, NULL, &s.info, sizeof s.info, NULL, &err));
    REFUSED(s3dlio_stat("memory://exports/key", NULL, NULL, sizeof s.info, NULL, &err));
    BAD(s3dlio_stat("memory://exports/key", old, &s.info, sizeof s.info, NULL, &err));
    REFUSED(s3dlio_exists(NULL, NULL, &s.flag, &err));
    REFUSED(s3dlio_exists("memory://exports/key", NULL, NULL, &err));
    BAD(s3dlio_exists("memory://exports/key", old, &s.flag, &err));
    REFUSED(s3dlio_delete(NULL, NULL, &err));
    BAD(s3dlio_delete("memory://exports/key", old, &err));
    REFUSED(s3dlio_lister_next(lister, NULL, sizeof s.info, &err));
    REFUSED(s3dlio_lister_next(lister, &s.info, 0, &err));
    REFUSED(s3dlio_reader_open(store, NULL, NULL, &s.reader, &err));
    REFUSED(s3dlio_reader_open(store, "key", NULL, NULL, &err));
    BAD(s3dlio_reader_open(store, "key", old, &s.reader, &err));
    REFUSED(s3dlio_reader_size(reader, NULL, &err));
    REFUSED(s3dlio_reader_info(reader, NULL, sizeof s.info, &err));
    REFUSED(s3dlio_reader_read_at(reader, 0, NULL, 1, &n, &err));
    REFUSED(s3dlio_reader_read_at(reader, 0, memory, 1, NULL, &err));
    REFUSED(s3dlio_reader_read_at(reader, 0, memory, SIZE_MAX, &n, &err));
    STATUS(S3DLIO_ERR_RANGE, s3dlio_reader_read_at(reader, UINT64_MAX, memory, 2, &n, &err));
    REFUSED(s3dlio_reader_readv_at(reader, NULL, 1, &err));
    REFUSED(s3dlio_reader_read(reader, NULL, 1, &n, &err));
    REFUSED(s3dlio_reader_read(reader, memory, 1, NULL, &err));
    REFUSED(s3dlio_reader_seek(reader, -1, S3DLIO_SEEK_SET, &s.number, &err));
    REFUSED(s3dlio_reader_seek(reader, -1, S3DLIO_SEEK_CUR, &s.number, &err));
    REFUSED(s3dlio_reader_seek(reader, INT64_MIN, S3DLIO_SEEK_END, &s.number, &err));
    REFUSED(s3dlio_reader_seek(reader, 0, 77, &s.number, &err));
    REFUSED(s3dlio_writer_open(store, NULL, NULL, NULL, 0, &s.writer, &err));
    REFUSED(s3dlio_writer_open(store, "k", NULL, NULL, 0, NULL, &err));
    BAD(s3dlio_writer_open(store, "k", old, NULL, 0, &s.writer, &err));
    REFUSED(s3dlio_writer_write(writer, NULL, 1, &err));
    REFUSED(s3dlio_writer_write(writer, "x", SIZE_MAX, &err));
    REFUSED(s3dlio_writer_write_buffer(writer, NULL, &err));
    BAD(s3dlio_writer_write_buffer(writer, stale[BUFFER], &err));
    BAD(s3dlio_writer_write_buffer(writer, store, &err));
    REFUSED(s3dlio_writer_reserve(writer, 0, &s.pointer, &n, &err));
    REFUSED(s3dlio_writer_reserve(writer, SIZE_MAX, &s.pointer, &n, &err));
    REFUSED(s3dlio_writer_reserve(writer, 1, NULL, &n, &err));
    REFUSED(s3dlio_writer_reserve(writer, 1, &s.pointer, NULL, &err));
    STATUS(S3DLIO_ERR_INVALID_STATE, s3dlio_writer_commit(writer, 1, &err));
    REFUSED(s3dlio_writer_finish(writer, &s.written, 0, &err));
    REFUSED(s3dlio_writer_get_stats(writer, NULL, sizeof s.written, &err));
    void *queue = live[QUEUE];
    s3dlio_op *op = NULL;
    REFUSED(s3dlio_queue_new(NULL, &err));
    REFUSED(s3dlio_queue_fd(queue, NULL, &err));
    REFUSED(s3dlio_queue_next(queue, 0, NULL, sizeof s.event, &err));
    REFUSED(s3dlio_queue_next(queue, 0, &s.event, 0, &err));
    REFUSED(s3dlio_queue_next(queue, 0, &s.event, 8, &err)); /* the event's handles would be lost */
    REFUSED(s3dlio_queue_next(queue, 0, &s.event, 1u << 20, &err));
    REFUSED(s3dlio_queue_close(queue, 2, &err));
    OK(s3dlio_op_progress(live[OP], NULL, NULL, &err));
    REFUSED(s3dlio_store_get_submit(store, NULL, queue, 1, &op, &err));
    REFUSED(s3dlio_store_get_submit(store, "\xff", queue, 1, &op, &err));
    REFUSED(s3dlio_store_get_submit(store, "key", NULL, 1, &op, &err));
    BAD(s3dlio_store_get_submit(store, "key", store, 1, &op, &err));
    BAD(s3dlio_store_get_submit(store, "key", stale[QUEUE], 1, &op, &err));
    REFUSED(s3dlio_store_get_range_submit(store, NULL, 0, 1, queue, 1, &op, &err));
    REFUSED(s3dlio_store_get_into_submit(store, "key", NULL, 8, queue, 1, &op, &err));
    REFUSED(s3dlio_store_get_into_submit(store, "key", memory, SIZE_MAX, queue, 1, &op, &err));
    REFUSED(s3dlio_store_get_range_into_submit(store, "key", 0, NULL, 1, queue, 1, &op, &err));
    REFUSED(s3dlio_store_put_submit(store, NULL, "x", 1, NULL, 0, queue, 1, &op, &err));
    REFUSED(s3dlio_store_put_submit(store, "k", NULL, 1, NULL, 0, queue, 1, &op, &err));
    REFUSED(s3dlio_store_put_submit(store, "k", "x", SIZE_MAX, NULL, 0, queue, 1, &op, &err));
    REFUSED(s3dlio_store_put_submit(store, "k", "x", 1, &put.known, sizeof put.known, queue, 1, &op, &err));
    BAD(s3dlio_store_put_submit(store, "k", "x", 1, NULL, 0, stale[QUEUE], 1, &op, &err));
    REFUSED(s3dlio_store_stat_submit(store, NULL, queue, 1, &op, &err));
    REFUSED(s3dlio_store_delete_submit(store, NULL, queue, 1, &op, &err));
    BAD(s3dlio_lister_page_submit(lister, stale[QUEUE], 1, &op, &err));
    REFUSED(s3dlio_reader_open_submit(store, NULL, NULL, queue, 1, &op, &err));
    BAD(s3dlio_reader_open_submit(store, "key", old, queue, 1, &op, &err));
    REFUSED(s3dlio_reader_read_at_submit(reader, 0, NULL, 1, queue, 1, &op, &err));
    REFUSED(s3dlio_reader_read_submit(reader, NULL, 1, queue, 1, &op, &err));
    BAD(s3dlio_reader_read_submit(reader, memory, 1, stale[QUEUE], 1, &op, &err));
    BAD(s3dlio_reader_read_submit(reader, memory, 1, stale[QUEUE], 1, &op, &err)); /* it is not busy now */
    REFUSED(s3dlio_writer_write_submit(writer, NULL, 1, queue, 1, &op, &err));
    BAD(s3dlio_writer_finish_submit(writer, stale[QUEUE], 1, &op, &err));
    BAD(s3dlio_writer_abort_submit(writer, stale[QUEUE], 1, &op, &err));
    CHECK(op == NULL);
    CHECK(s3dlio_has_feature(NULL) == 0 && s3dlio_has_feature("\xff") == 0);
    CHECK(s3dlio_crc32c(7, NULL, 0) == 7 && s3dlio_crc32c(7, NULL, 5) == 7);
    CHECK(strcmp(s3dlio_status_name(-999), "unknown") == 0 && s3dlio_status_doc(12345) != NULL);
    CHECK(s3dlio_error_detail(live[ERROR], NULL) == NULL && s3dlio_error_detail(live[ERROR], "no") == NULL);
    CHECK(s3dlio_error_detail_at(live[ERROR], SIZE_MAX, NULL, NULL) == S3DLIO_END);
    CHECK(s3dlio_error_detail_at(live[ERROR], 0, NULL, NULL) == S3DLIO_OK);
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "--list") == 0) {
        for (int i = 0; i < EXPORT_COUNT; i++) puts(exports[i].name);
        return 0;
    }
    watchdog();
    live_handles(stale);
    for (int type = ERROR; type < HANDLE_TYPES; type++) {
        CHECK(stale[type] != NULL);
        free_handle(type, stale[type]);
    }
    live_handles(live);
    s3dlio_error *err = NULL;
    OK(s3dlio_buffer_new(8, &shared_buffer, &err));
    OK(s3dlio_queue_new(&shared_queue, &err));
    memset(&stale[NONE], 0x5a, sizeof stale[NONE]); /* what `prepare` leaves in an output */
    refuse_all();
    other_arguments();
    on_threads(refuse_on_thread);
    CHECK(pthread_barrier_init(&barrier, NULL, THREADS) == 0);
    on_threads(free_under_use);
    for (int type = ERROR; type < HANDLE_TYPES; type++) free_handle(type, live[type]);
    s3dlio_buffer_free(shared_buffer);
    OK(s3dlio_queue_close(shared_queue, 1, &err));
    s3dlio_event event;
    int32_t status;
    while ((status = s3dlio_queue_next(shared_queue, -1, &event, sizeof event, NULL)) == S3DLIO_OK) {
        s3dlio_buffer_free(event.data);
        s3dlio_error_free(event.error);
        s3dlio_reader_free(event.reader);
    }
    CHECK(status == S3DLIO_END);
    s3dlio_queue_free(shared_queue);
    return summary("abuse");
}
