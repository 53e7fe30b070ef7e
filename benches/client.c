/* libs3dlio's side of the benchmarks, through its C interface alone.

   client OPERATION uri=URI [count=N] [size=BYTES] [distinct=N] [threads=N] [passes=N] [OPTION=VALUE...]
     get_many  all objects in one call, into the library's buffers
     get_into  whole objects into memory of the caller's that each thread uses again
     put       objects from one memory of the caller's
     put_many  the same in one call
     write     objects through a writer, in pieces of piece=BYTES that are handed over without a copy
     draw      one epoch of a loader over all objects, in batches of batch=N
     upload    the objects 0..count with the bytes that the others expect; creates the container
     idle      after one put and one get: prints what the process holds

   Arguments with a dot in their name are options of the library. Prints one line of JSON. */
#define _GNU_SOURCE
#include "common.h"
#include <s3dlio.h>

static s3dlio_options *options;
static s3dlio_store *store;
static char **keys;
static char *payload;
static char **own; /* memory of each thread */

static void must(int32_t status, s3dlio_error *error, const char *what) {
    if (status == S3DLIO_OK) return;
    die("%s: status %d: %s", what, status, error ? s3dlio_error_message(error) : "no error object");
}
#define CALL(function, ...) do { s3dlio_error *error_ = NULL; must(function(__VA_ARGS__, &error_), error_, #function); } while (0)

static void open_store(void) {
    s3dlio_error *error = NULL;
    must(s3dlio_options_new(&options, &error), error, "s3dlio_options_new");
    for (int i = 2; i < arguments; i++) {
        char *equals = strchr(argument[i], '='), *dot = strchr(argument[i], '.');
        if (!equals || !dot || dot > equals) continue;
        char *name = strndup(argument[i], equals - argument[i]);
        CALL(s3dlio_options_set, options, name, equals + 1);
        free(name);
    }
    const char *uri = text("uri", NULL);
    if (!uri) die("uri= is missing");
    CALL(s3dlio_store_open, uri, options, &store);
    keys = calloc(count, sizeof *keys);
    for (size_t i = 0; i < count; i++)
        if (asprintf(&keys[i], "%zu", i % distinct) < 0) die("no memory");
}

/* ---- gets */

static void get_many(void) {
    s3dlio_get_result *results = calloc(count, sizeof *results);
    CALL(s3dlio_store_get_many, store, (const char *const *)keys, count, results);
    for (size_t i = 0; i < count; i++) {
        if (s3dlio_buffer_size(results[i].data) != size) die("object %zu has another size", i);
        if (checking) check(s3dlio_buffer_data(results[i].data), size, i % distinct, 0);
        s3dlio_buffer_free(results[i].data);
    }
    free(results);
}

static void get_one(size_t index, size_t thread) {
    size_t got = 0;
    CALL(s3dlio_store_get_into, store, keys[index], own[thread], size, &got);
    if (got != size) die("object %zu has %zu bytes instead of %zu", index, got, size);
    if (checking) check(own[thread], size, index % distinct, 0);
}

static void get_into(void) { spread(get_one); }

/* ---- draws */

static s3dlio_dataset *dataset;

static void open_dataset(void) {
    char **uris = calloc(count, sizeof *uris);
    for (size_t i = 0; i < count; i++)
        if (asprintf(&uris[i], "%s/%s", text("uri", NULL), keys[i]) < 0) die("no memory");
    CALL(s3dlio_dataset_open_uris, (const char *const *)uris, count, NULL, 0, options, &dataset);
    for (size_t i = 0; i < count; i++) free(uris[i]);
    free(uris);
}

static void draw(void) {
    s3dlio_loader *loader = NULL;
    s3dlio_batch *batch = NULL;
    s3dlio_loader_params params = {.batch_size = number("batch", 64)};
    CALL(s3dlio_loader_open, dataset, &params, sizeof params, options, &loader);
    size_t drawn = 0;
    s3dlio_error *error = NULL;
    int32_t status;
    while ((status = s3dlio_loader_next(loader, &batch, &error)) == S3DLIO_OK) {
        const s3dlio_sample *samples = s3dlio_batch_samples(batch);
        for (size_t i = 0; i < s3dlio_batch_count(batch); i++, drawn++) {
            if (samples[i].length != size) die("item %zu has another size", (size_t)samples[i].index);
            if (checking) check(samples[i].data, size, samples[i].index % distinct, 0);
        }
        s3dlio_batch_free(batch);
    }
    if (status != S3DLIO_END) must(status, error, "s3dlio_loader_next");
    if (drawn != count) die("%zu items were drawn, not %zu", drawn, count);
    s3dlio_loader_free(loader);
}

/* ---- puts */

static void put_one(size_t index, size_t thread) {
    (void)thread;
    CALL(s3dlio_store_put, store, keys[index], payload, size, NULL, 0, NULL, 0);
}

static void put(void) { spread(put_one); }

static void put_many(void) {
    s3dlio_put_item *items = calloc(count, sizeof *items);
    for (size_t i = 0; i < count; i++) items[i] = (s3dlio_put_item){.key = keys[i], .data = payload, .length = size};
    CALL(s3dlio_store_put_many, store, items, count, NULL, 0);
    free(items);
}

static s3dlio_buffer *piece_of[4096];
static size_t pieces;

static void prepare_pieces(void) {
    size_t piece = number("piece", 16 << 20);
    for (size_t at = 0; at < size; at += piece, pieces++) {
        size_t length = size - at < piece ? size - at : piece;
        if (pieces == sizeof piece_of / sizeof *piece_of) die("too many pieces");
        CALL(s3dlio_buffer_new, length, &piece_of[pieces]);
        memcpy(s3dlio_buffer_data(piece_of[pieces]), payload + at, length);
    }
}

static void write_one(size_t index, size_t thread) {
    (void)thread;
    s3dlio_writer *writer = NULL;
    s3dlio_write_stats stats;
    CALL(s3dlio_writer_open, store, keys[index], NULL, NULL, 0, &writer);
    for (size_t i = 0; i < pieces; i++) {
        s3dlio_buffer *clone = NULL;
        CALL(s3dlio_buffer_clone, piece_of[i], &clone);
        CALL(s3dlio_writer_write_buffer, writer, clone);
    }
    CALL(s3dlio_writer_finish, writer, &stats, sizeof stats);
    if (stats.stored_bytes != size) die("%zu bytes were to be stored, not %zu", size, (size_t)stats.stored_bytes);
    s3dlio_writer_free(writer);
}

static void write_all(void) { spread(write_one); }

static void upload(void) {
    s3dlio_error *error = NULL;
    int32_t status = s3dlio_store_create_container(store, &error);
    if (status != S3DLIO_ERR_ALREADY_EXISTS) must(status, error, "s3dlio_store_create_container");
    else s3dlio_error_free(error);
    for (size_t i = 0; i < count; i++) {
        fill(payload, size, i);
        CALL(s3dlio_store_put, store, keys[i], payload, size, NULL, 0, NULL, 0);
    }
}

static void idle(void) {
    s3dlio_buffer *data = NULL;
    CALL(s3dlio_store_put, store, "idle", "idle", 4, NULL, 0, NULL, 0);
    CALL(s3dlio_store_get, store, "idle", &data);
    if (s3dlio_buffer_size(data) != 4 || memcmp(s3dlio_buffer_data(data), "idle", 4)) die("wrong bytes");
    s3dlio_buffer_free(data);
    print_figures(0, 0, 0, 0, status_bytes("VmRSS"), 0);
}

int main(int argc, char **argv) {
    read_arguments(argc, argv);
    const char *operation = argv[1];
    open_store();
    if (!strcmp(operation, "idle")) return idle(), 0;
    if (!strcmp(operation, "get_many")) return measure(get_many), 0;
    if (!strcmp(operation, "get_into")) {
        own = calloc(threads, sizeof *own);
        for (size_t i = 0; i < threads; i++) own[i] = memory(size);
        return measure(get_into), 0;
    }
    payload = memory(size);
    if (!strcmp(operation, "draw")) return open_dataset(), measure(draw), 0;
    if (!strcmp(operation, "upload")) return upload(), 0;
    fill(payload, size, 0);
    if (!strcmp(operation, "put_many")) return measure(put_many), 0;
    if (!strcmp(operation, "put")) return measure(put), 0;
    if (!strcmp(operation, "write")) return prepare_pieces(), measure(write_all), 0;
    die("%s: there is no such operation", operation);
}
