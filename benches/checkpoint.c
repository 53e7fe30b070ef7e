/* Checkpoints through s3dlio.h: one rank with `count` tensors of `size` bytes.

   checkpoint OPERATION uri=URI [count=N] [size=BYTES] [passes=N] [OPTION=VALUE...]
     save      the tensors as a committed checkpoint, a step per pass
     load      the last checkpoint into memory of the caller's that is used again
     snapshot  the same as save, but only the time for which an asynchronous save keeps its caller is measured
     hand_over the same, of tensors that lie in memory of the library's and are not copied

   The pass that warms up compares every byte that was saved or loaded. Beside the others' figures, `extra` is
   what the program held at most over what it held with its tensors and an open store. Prints one line of JSON. */
#define _GNU_SOURCE
#include "common.h"
#include <s3dlio.h>

static s3dlio_store *store;
static char *tensors; /* count x size bytes */
static char **names;
static uint64_t elements, step;
static s3dlio_buffer *library; /* where the tensors lie, for hand_over */

static void must(int32_t status, s3dlio_error *error, const char *what) {
    if (status == S3DLIO_OK) return;
    die("%s: status %d: %s", what, status, error ? s3dlio_error_message(error) : "no error object");
}
#define CALL(function, ...) do { s3dlio_error *error_ = NULL; must(function(__VA_ARGS__, &error_), error_, #function); } while (0)

static void open_store(void) {
    s3dlio_options *options = NULL;
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
    s3dlio_options_free(options);
}

static s3dlio_tensor *described(void) {
    s3dlio_tensor *list = calloc(count, sizeof *list);
    for (size_t i = 0; i < count; i++)
        list[i] = (s3dlio_tensor){
            .name = names[i], .dtype = "F32", .shape = &elements, .ndim = 1, .data = tensors + i * size, .length = size};
    return list;
}

static s3dlio_checkpoint_writer *begin(void) {
    s3dlio_checkpoint_params params = {.step = ++step, .rank = 0, .world_size = 1, .framework = "bench", .run_id = "bench"};
    s3dlio_checkpoint_writer *writer = NULL;
    CALL(s3dlio_checkpoint_writer_open, store, NULL, &params, sizeof params, &writer);
    return writer;
}

static void load_into(char *memory_) {
    s3dlio_checkpoint *checkpoint = NULL;
    CALL(s3dlio_checkpoint_open, store, NULL, S3DLIO_LATEST, &checkpoint);
    s3dlio_tensor_request *requests = calloc(count, sizeof *requests);
    for (size_t i = 0; i < count; i++)
        requests[i] = (s3dlio_tensor_request){.name = names[i], .rank = -1, .data = memory_ + i * size, .length = size};
    CALL(s3dlio_checkpoint_load, checkpoint, requests, count);
    free(requests);
    s3dlio_checkpoint_free(checkpoint);
}

/* What was saved, byte by byte; and the step goes, so that the disk does not fill. Not measured. */
static void saved(void) {
    double since = seconds();
    if (checking) {
        char *copy = memory(count * size);
        load_into(copy);
        check(copy, count * size, 0, 0);
        munmap(copy, count * size + 4096);
        CALL(s3dlio_checkpoint_delete, store, step);
    }
    unmeasured += seconds() - since;
}

static void save(void) {
    s3dlio_checkpoint_writer *writer = begin();
    s3dlio_tensor *list = described();
    CALL(s3dlio_checkpoint_writer_put_tensors, writer, NULL, list, count);
    CALL(s3dlio_checkpoint_writer_commit, writer);
    s3dlio_checkpoint_writer_free(writer);
    free(list);
    saved();
}

static void snapshot(void) {
    s3dlio_checkpoint_writer *writer = begin();
    s3dlio_tensor *list = described();
    CALL(s3dlio_checkpoint_writer_snapshot_tensors, writer, NULL, list, count);
    double since = seconds();
    CALL(s3dlio_checkpoint_writer_commit, writer);
    s3dlio_checkpoint_writer_free(writer);
    unmeasured += seconds() - since;
    free(list);
    saved();
}

static void hand_over(void) {
    s3dlio_checkpoint_writer *writer = begin();
    s3dlio_tensor *list = described();
    const s3dlio_buffer **same = calloc(count, sizeof *same);
    for (size_t i = 0; i < count; i++) same[i] = library;
    CALL(s3dlio_checkpoint_writer_snapshot_buffers, writer, NULL, list, same, count);
    double since = seconds();
    CALL(s3dlio_checkpoint_writer_commit, writer);
    s3dlio_checkpoint_writer_free(writer);
    unmeasured += seconds() - since;
    free(same), free(list);
    saved();
}

/* As measure(), with `extra`: the peak of the measured passes over what was held before the first. */
static void measure_extra(void (*pass)(void)) {
    struct rusage before, after;
    size_t base = status_bytes("VmRSS");
    checking = 1;
    pass();
    checking = 0;
    FILE *file = fopen("/proc/self/clear_refs", "w"); /* the peak begins here */
    if (!file || fputs("5", file) < 0 || fclose(file)) die("/proc/self/clear_refs cannot be written");
    unmeasured = 0;
    double spent = -cpu(&before), wall = -seconds();
    for (size_t i = 0; i < passes; i++) pass();
    wall += seconds() - unmeasured;
    spent += cpu(&after);
    size_t peak = status_bytes("VmHWM");
    printf("{\"passes\": %zu, \"objects\": %zu, \"bytes\": %zu, \"wall\": %.6f, \"cpu\": %.6f, \"rss\": %zu, \"extra\": %zu}\n",
           passes, count * passes, count * size * passes, wall, spent, peak, peak > base ? peak - base : 0);
}

static void load(void) {
    load_into(tensors);
    if (checking) check(tensors, count * size, 0, 0);
}

int main(int argc, char **argv) {
    read_arguments(argc, argv);
    const char *operation = argv[1];
    if (size % 4) die("size= is of tensors of F32");
    elements = size / 4;
    names = calloc(count, sizeof *names);
    for (size_t i = 0; i < count; i++)
        if (asprintf(&names[i], "layers.%zu.weight", i) < 0) die("no memory");
    if (!strcmp(operation, "hand_over")) {
        CALL(s3dlio_buffer_new, count * size, &library);
        tensors = s3dlio_buffer_data(library);
    } else {
        tensors = memory(count * size);
    }
    if (strcmp(operation, "load")) fill(tensors, count * size, 0);
    open_store();
    if (!strcmp(operation, "save")) return measure_extra(save), 0;
    if (!strcmp(operation, "snapshot")) return measure_extra(snapshot), 0;
    if (!strcmp(operation, "hand_over")) return measure_extra(hand_over), 0;
    if (!strcmp(operation, "load")) return measure_extra(load), 0;
    die("%s: there is no such operation", operation);
}
