/* Many threads on the same handles: concurrent use where it is allowed, INVALID_STATE at once where it
 * is not, options changed by all, handles freed under use, the log switched meanwhile. */
#include "test.h"

enum { THREADS = 8, ROUNDS = 150, SIZE = 1 << 20 };

static s3dlio_store *store;
static s3dlio_reader *reader;
static s3dlio_writer *writer;
static s3dlio_lister *lister;
static s3dlio_options *options;
static unsigned char *data;
static atomic_llong written;
static atomic_int listed;

static void quiet_log(int32_t level, const char *target, const char *message, void *user) {
    (void)level, (void)target, (void)message;
    CHECK(*(int *)user == 42);
}

static void *use(void *number) {
    int at = (int)(intptr_t)number;
    s3dlio_error *err = NULL;
    s3dlio_buffer *buffer = NULL, *clone = NULL;
    s3dlio_object_info info;
    char key[32];
    size_t n = 0;
    unsigned char *memory = malloc(SIZE);
    repeating = 1;
    for (int round = 0; round < repeat(ROUNDS); round++) {
        snprintf(key, sizeof key, "stress/%d", (at + round) % 5);
        size_t length = (size_t)(at * 7919 + round * 104729) % SIZE;
        OK(s3dlio_store_put(store, key, data, length, NULL, 0, NULL, 0, &err));
        if (OK(s3dlio_store_get(store, key, &buffer, &err))) {
            CHECK(memcmp(s3dlio_buffer_data(buffer), data, s3dlio_buffer_size(buffer)) == 0);
            OK(s3dlio_buffer_clone(buffer, &clone, &err));
            s3dlio_buffer_free(buffer);
            s3dlio_buffer_free(clone);
        }
        OK(s3dlio_reader_read_at(reader, length, memory, 5000, &n, &err));
        CHECK(n == (SIZE - length < 5000 ? SIZE - length : 5000) && memcmp(memory, data + length, n) == 0);
        int32_t got = s3dlio_reader_read(reader, memory, 100, &n, NULL);
        CHECK(got == S3DLIO_OK || got == S3DLIO_END || got == S3DLIO_ERR_INVALID_STATE);
        got = s3dlio_writer_write(writer, data, 1000, NULL);
        CHECK(got == S3DLIO_OK || got == S3DLIO_ERR_INVALID_STATE);
        if (got == S3DLIO_OK) atomic_fetch_add(&written, 1000);
        got = s3dlio_lister_next(lister, &info, sizeof info, NULL);
        CHECK(got == S3DLIO_OK || got == S3DLIO_END || got == S3DLIO_ERR_INVALID_STATE);
        if (got == S3DLIO_OK) atomic_fetch_add(&listed, 1);
        got = s3dlio_options_set_u64(options, "net.max_attempts", (uint64_t)(round % 9 + 1), NULL);
        CHECK(got == S3DLIO_OK || got == S3DLIO_ERR_INVALID_STATE);
        s3dlio_store *other = NULL;
        OK(s3dlio_store_open("memory://stress", options, &other, &err));
        s3dlio_store_free(other);
        if (at == 0) {
            int *user = malloc(sizeof *user);
            *user = 42;
            OK(s3dlio_log_set_callback(quiet_log, user, "trace", &err));
            OK(s3dlio_log_set_callback(NULL, NULL, NULL, &err));
            *user = 0;
            free(user);
        }
    }
    free(memory);
    return NULL;
}

/* An inside call is one at a time: a barrier of threads on one slow writer. */
static void run(const char *root) {
    s3dlio_error *err = NULL;
    pthread_t threads[THREADS];
    s3dlio_write_stats stats;
    OK(s3dlio_store_open(root, NULL, &store, &err));
    OK(s3dlio_store_put(store, "read", data, SIZE, NULL, 0, NULL, 0, &err));
    OK(s3dlio_reader_open(store, "read", NULL, &reader, &err));
    OK(s3dlio_writer_open(store, "written", NULL, NULL, 0, &writer, &err));
    for (int i = 0; i < 40; i++) {
        char key[32];
        snprintf(key, sizeof key, "list/%d", i);
        OK(s3dlio_store_put(store, key, "", 0, NULL, 0, NULL, 0, &err));
    }
    OK(s3dlio_store_list(store, "list/", 1, &lister, &err));
    OK(s3dlio_options_new(&options, &err));
    atomic_store(&written, 0);
    atomic_store(&listed, 0);
    for (int t = 0; t < THREADS; t++) pthread_create(&threads[t], NULL, use, (void *)(intptr_t)t);
    for (int t = 0; t < THREADS; t++) pthread_join(threads[t], NULL);
    OK(s3dlio_writer_finish(writer, &stats, sizeof stats, &err));
    CHECK((long long)stats.bytes == atomic_load(&written) && stats.bytes > 0);
    CHECK(atomic_load(&listed) == 40);
    s3dlio_writer_free(writer);
    s3dlio_reader_free(reader);
    s3dlio_lister_free(lister);
    s3dlio_options_free(options);
    OK(s3dlio_store_delete_prefix(store, "", NULL, &err));
    s3dlio_store_free(store);
}

int main(void) {
    char folder[64], root[128];
    s3dlio_error *err = NULL;
    s3dlio_stats stats;
    watchdog();
    temporary_folder(folder);
    data = malloc(SIZE);
    fill(data, SIZE, 3);
    snprintf(root, sizeof root, "file://%s/stress", folder);
    run("memory://stress");
    run(root);
    OK(s3dlio_get_stats(&stats, sizeof stats, &err));
    CHECK(stats.handles == 0);
    free(data);
    remove_folder(folder);
    return summary("stress");
}
