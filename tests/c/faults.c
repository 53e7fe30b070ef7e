/* The cells of tests/faults/cells.tsv: what faultd does wrong ends in exact bytes or in the true error.
 * S3DLIO_TEST_FAULTD is the program, S3DLIO_TEST_CELLS the table. At the end: what a thread of the library's refuses. */
#include "faultd.h"

enum { SMALL = 20000, LARGE = 2400000, PART = 5 << 20, NEW = PART + 70000, CELLS = 46 };

static unsigned char large[LARGE], new_object[NEW], got[NEW];

static void pattern(unsigned char *to, size_t length, size_t seed) {
    for (size_t i = 0; i < length; i++) to[i] = (unsigned char)(i * 31 + i / 251 + seed * 101);
}

static int is_pattern(const void *bytes, size_t length, size_t first, size_t seed) {
    for (size_t i = 0; i < length; i++) {
        size_t at = first + i;
        if (((const unsigned char *)bytes)[i] != (unsigned char)(at * 31 + at / 251 + seed * 101)) return 0;
    }
    return 1;
}

/* Ends faultd: it has met the fault, and no upload is left. */
static void stop(faultd *server, const char *cell) {
    char said[100] = "";
    int faults = 0, uploads = -1;
    faultd_stop(server, said, sizeof said);
    check_(sscanf(said, "FAULTS=%d UPLOADS=%d", &faults, &uploads) == 2 && faults > 0 && uploads == 0, __FILE__,
           __LINE__, cell, said);
}

static s3dlio_store *open_cell(const char *service, const faultd *server) {
    int s3 = strcmp(service, "s3") == 0;
    const char *const limits[] = {
        "net.max_attempts", "3", "net.connect_timeout_ms", "2000", "net.progress_timeout_ms", "1000",
        "net.operation_timeout_ms", "8000", "transfer.part_size", "5MiB", "transfer.range_size", "100000",
        "transfer.range_threshold", "1MiB", NULL};
    backend b = s3 ? seaweed(server->s3, "x") : azurite(server->azure, "x");
    snprintf(b.root, sizeof b.root, s3 ? "s3://box/root" : "az://devstoreaccount1/box/root");
    s3dlio_error *err = NULL;
    for (int i = 0; limits[i] != NULL; i += 2) OK(s3dlio_options_set(b.options, limits[i], limits[i + 1], &err));
    s3dlio_store *store = open_backend(&b);
    s3dlio_options_free(b.options);
    OK(s3dlio_store_create_container(store, &err));
    OK(s3dlio_store_put(store, "large", large, LARGE, NULL, 0, NULL, 0, &err));
    const struct {
        const char *key;
        size_t length, seed;
    } small[] = {{"small", SMALL, 1}, {"list/a", 5, 3}, {"list/b", 6, 4}, {"list/c", 7, 5}};
    for (int i = 0; i < 4; i++) {
        pattern(got, small[i].length, small[i].seed);
        OK(s3dlio_store_put(store, small[i].key, got, small[i].length, NULL, 0, NULL, 0, &err));
    }
    return store;
}

/* Whether `new` holds exactly these bytes. */
static int stored(const s3dlio_store *store, size_t length) {
    size_t n = 0;
    return s3dlio_store_get_into(store, "new", got, sizeof got, &n, NULL) == S3DLIO_OK && n == length &&
           is_pattern(got, n, 0, 6);
}

static int32_t get_buffer(s3dlio_store *store, const char *operation, int *exact, s3dlio_error **err) {
    s3dlio_buffer *data = NULL;
    int large_one = strcmp(operation, "get") != 0, range = strcmp(operation, "get_range") == 0;
    int32_t status = range ? s3dlio_store_get_range(store, "large", 1000, 5000, &data, err)
                           : s3dlio_store_get(store, large_one ? "large" : "small", &data, err);
    size_t wanted = range ? 5000 : large_one ? LARGE : SMALL;
    *exact = s3dlio_buffer_size(data) == wanted &&
             is_pattern(s3dlio_buffer_data(data), wanted, range ? 1000 : 0, large_one ? 2 : 1);
    s3dlio_buffer_free(data);
    return status;
}

static int32_t with_reader(s3dlio_store *store, const char *operation, int *exact, s3dlio_error **err) {
    s3dlio_reader *reader = NULL;
    size_t n = 0, all = 0;
    int at = strcmp(operation, "read_at") == 0;
    int32_t status = s3dlio_reader_open(store, at ? "large" : "small", NULL, &reader, err);
    if (status == S3DLIO_OK && at) {
        status = s3dlio_reader_read_at(reader, 1000, got, 5000, &n, err);
        *exact = n == 5000 && is_pattern(got, n, 1000, 2);
    } else if (status == S3DLIO_OK) {
        while ((status = s3dlio_reader_read(reader, got + all, 7000, &n, err)) == S3DLIO_OK) all += n;
        *exact = all == SMALL && is_pattern(got, all, 0, 1);
        if (status == S3DLIO_END) status = S3DLIO_OK;
    }
    s3dlio_reader_free(reader);
    return status;
}

static int32_t write_new(s3dlio_store *store, int *exact, s3dlio_error **err) {
    s3dlio_writer *writer = NULL;
    int32_t status = s3dlio_writer_open(store, "new", NULL, NULL, 0, &writer, err);
    if (status == S3DLIO_OK) status = s3dlio_writer_write(writer, new_object, NEW, err);
    if (status == S3DLIO_OK) status = s3dlio_writer_finish(writer, NULL, 0, err);
    s3dlio_writer_free(writer);
    *exact = status == S3DLIO_OK && stored(store, NEW);
    return status;
}

static int32_t list_three(s3dlio_store *store, int *exact, s3dlio_error **err) {
    s3dlio_lister *lister = NULL;
    s3dlio_object_info info;
    char keys[100] = "";
    int32_t status = s3dlio_store_list(store, "list/", 1, &lister, err);
    while (status == S3DLIO_OK && (status = s3dlio_lister_next(lister, &info, sizeof info, err)) == S3DLIO_OK) {
        snprintf(keys + strlen(keys), sizeof keys - strlen(keys), "%.20s ", info.key);
    }
    s3dlio_lister_free(lister);
    *exact = strcmp(keys, "list/a list/b list/c ") == 0;
    return status == S3DLIO_END ? S3DLIO_OK : status;
}

/* Does what the cell names; `exact` says whether all is as it must be after success. */
static int32_t operate(s3dlio_store *store, const char *operation, int *exact, s3dlio_error **err) {
    size_t n = 0;
    int32_t status, flag = 1;
    s3dlio_object_info info;
    s3dlio_buffer *strings = NULL;
    if (strcmp(operation, "get_into") == 0) {
        status = s3dlio_store_get_into(store, "small", got, SMALL + 100, &n, err);
        *exact = n == SMALL && is_pattern(got, n, 0, 1);
        return status;
    }
    if (strncmp(operation, "get", 3) == 0) return get_buffer(store, operation, exact, err);
    if (strncmp(operation, "read", 4) == 0) return with_reader(store, operation, exact, err);
    if (strcmp(operation, "write") == 0) return write_new(store, exact, err);
    if (strcmp(operation, "list") == 0) return list_three(store, exact, err);
    if (strcmp(operation, "put") == 0) {
        status = s3dlio_store_put(store, "new", new_object, SMALL, NULL, 0, NULL, 0, err);
        *exact = status == S3DLIO_OK && stored(store, SMALL);
        return status;
    }
    if (strcmp(operation, "stat") == 0) {
        status = s3dlio_store_stat(store, "small", &info, sizeof info, &strings, err);
        *exact = status == S3DLIO_OK && info.size == SMALL;
        s3dlio_buffer_free(strings);
        return status;
    }
    CHECK(strcmp(operation, "delete") == 0);
    status = s3dlio_store_delete(store, "list/a", err);
    *exact = s3dlio_store_exists(store, "list/a", &flag, NULL) == S3DLIO_OK && flag == 0;
    return status;
}

static void run(const char *service, const char *operation, const char *outcome, const char *rule,
                const char *script) {
    char cell[300];
    snprintf(cell, sizeof cell, "%s %s %s", service, operation, rule);
    repeating = 1; /* a cell counts once */
    FILE *file = fopen(script, "w");
    CHECK(file != NULL && fprintf(file, "service=%s %s\n", service, rule) > 0 && fclose(file) == 0);
    faultd started = faultd_start(script);
    s3dlio_store *store = open_cell(service, &started);
    s3dlio_error *err = NULL;
    int exact = 0;
    int32_t status = operate(store, operation, &exact, &err);
    const char *message = s3dlio_error_message(err);
    const char *is = status == S3DLIO_OK ? exact ? "exact" : "wrong bytes" : s3dlio_status_name(status);
    int true_error = 1;
    if (status < 0) {
        const char *uri = s3dlio_error_detail(err, "uri"), *what = s3dlio_error_detail(err, "operation");
        const char *root = s3dlio_store_uri(store);
        true_error = uri != NULL && what != NULL && strncmp(uri, root, strlen(root)) == 0 &&
                     strstr(message, uri) != NULL && strstr(message, what) != NULL;
        check_(true_error, __FILE__, __LINE__, cell, message);
    }
    s3dlio_store_free(store);
    stop(&started, cell);
    repeating = 0;
    char detail[500];
    snprintf(detail, sizeof detail, "is %s, should be %s: %.400s", is, outcome, message ? message : "");
    check_(strcmp(is, outcome) == 0, __FILE__, __LINE__, cell, detail);
    s3dlio_error_free(err);
}

/* Tries of the log callback on the library's own threads, and what they gave. */
typedef struct {
    s3dlio_store *store;
    s3dlio_queue *idle;
    pthread_t program;
    atomic_int calls;
    int32_t next_waits, next_looks, get;
} on_our_thread;

static void block_in_log(int32_t level, const char *target, const char *message, void *user) {
    on_our_thread *o = user;
    s3dlio_event event;
    s3dlio_buffer *data = NULL;
    (void)level, (void)target, (void)message;
    if (pthread_equal(pthread_self(), o->program)) return;
    o->next_waits = s3dlio_queue_next(o->idle, 60000, &event, sizeof event, NULL);
    o->next_looks = s3dlio_queue_next(o->idle, 0, &event, sizeof event, NULL);
    o->get = s3dlio_store_get(o->store, "small", &data, NULL);
    s3dlio_buffer_free(data);
    atomic_fetch_add(&o->calls, 1);
}

/* A thread of the library's must not wait for what only it can do: calls that would are refused there. A kept
 * connection that was dead is logged by the thread that runs the submitted get. */
static void refused_on_our_threads(const char *script) {
    FILE *file = fopen(script, "w");
    CHECK(file != NULL && fputs("op=get nth=1 fault=stale\n", file) >= 0 && fclose(file) == 0);
    faultd started = faultd_start(script);
    s3dlio_error *err = NULL;
    s3dlio_queue *queue = NULL;
    s3dlio_event event;
    on_our_thread o = {.store = open_cell("s3", &started), .program = pthread_self()};
    OK(s3dlio_queue_new(&queue, &err));
    OK(s3dlio_queue_new(&o.idle, &err));
    OK(s3dlio_log_set_callback(block_in_log, &o, "trace", &err));
    for (int i = 0; i < 2; i++) {
        OK(s3dlio_store_get_submit(o.store, "small", queue, 1, NULL, &err));
        if (!OK(s3dlio_queue_next(queue, 60000, &event, sizeof event, &err))) return;
        CHECK(event.status == S3DLIO_OK && event.bytes == SMALL);
        s3dlio_buffer_free(event.data);
    }
    OK(s3dlio_log_set_callback(NULL, NULL, NULL, &err));
    CHECK(atomic_load(&o.calls) > 0);
    CHECK(o.next_waits == S3DLIO_ERR_WOULD_DEADLOCK);
    CHECK(o.next_looks == S3DLIO_TIMEOUT);
    CHECK(o.get == S3DLIO_ERR_WOULD_DEADLOCK);
    s3dlio_queue_free(queue);
    s3dlio_queue_free(o.idle);
    s3dlio_store_free(o.store);
    stop(&started, "refused_on_our_threads");
}

int main(void) {
    char folder[64], script[100], line[300];
    watchdog();
    if (server("S3DLIO_TEST_FAULTD") == NULL || server("S3DLIO_TEST_CELLS") == NULL) return summary("faults");
    temporary_folder(folder);
    snprintf(script, sizeof script, "%s/script", folder);
    pattern(large, LARGE, 2);
    pattern(new_object, NEW, 6);
    FILE *table = fopen(getenv("S3DLIO_TEST_CELLS"), "r");
    int cells = 0;
    while (table != NULL && fgets(line, sizeof line, table) != NULL) {
        char *rest = line, *columns[4];
        if (line[0] == '#' || line[0] == '\n') continue;
        for (int i = 0; i < 4; i++) columns[i] = strsep(&rest, "\t\n");
        run(columns[0], columns[1], columns[2], columns[3], script);
        cells++;
    }
    CHECK(table != NULL && fclose(table) == 0);
    CHECK(cells == CELLS);
    refused_on_our_threads(script);
    remove_folder(folder);
    return summary("faults");
}
