/* Checkpoints (C1 to C4): round trips of two ranks on every backend, streamed shards, snapshots committed in the
 * background, loads by another number of ranks, and every documented error with its code and message. */
#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <sys/mount.h>

enum { ROWS = 6, COLUMNS = 5, CELLS = ROWS * COLUMNS, LARGE = 3 << 20 };

/* The tensor "w": rank r of 2 holds the rows from 3 r. */
static float cell(int row, int column) { return (float)(row * 100 + column); }

static const uint64_t whole[2] = {ROWS, COLUMNS}, half[2] = {ROWS / 2, COLUMNS};

static s3dlio_tensor rows_of(uint32_t rank, float memory[CELLS / 2], uint64_t start[2]) {
    start[0] = rank * ROWS / 2, start[1] = 0;
    for (int i = 0; i < CELLS / 2; i++) memory[i] = cell((int)start[0] + i / COLUMNS, i % COLUMNS);
    return (s3dlio_tensor){.name = "w", .dtype = "F32", .shape = half, .global_shape = whole, .start = start,
                           .ndim = 2, .data = memory, .length = CELLS / 2 * sizeof(float)};
}

static s3dlio_checkpoint_params params_of(uint64_t step, uint32_t rank, uint32_t size, const char *id) {
    return (s3dlio_checkpoint_params){.step = step, .rank = rank, .world_size = size, .id = id};
}

static s3dlio_checkpoint_writer *begin(s3dlio_store *store, s3dlio_options *options, s3dlio_checkpoint_params params) {
    s3dlio_error *err = NULL;
    s3dlio_checkpoint_writer *writer = NULL;
    OK(s3dlio_checkpoint_writer_open(store, options, &params, sizeof params, &writer, &err));
    return writer;
}

static void put_rows(s3dlio_checkpoint_writer *writer, uint32_t rank) {
    s3dlio_error *err = NULL;
    float memory[CELLS / 2];
    uint64_t start[2];
    s3dlio_tensor tensor = rows_of(rank, memory, start);
    OK(s3dlio_checkpoint_writer_put_tensors(writer, NULL, &tensor, 1, &err));
    memset(memory, 0, sizeof memory); /* it is the caller's again */
}

/* Ranks 0 and 1 of 2, in this thread: the id goes from hand to hand, as with MPI_Bcast. */
static void save(s3dlio_store *store, s3dlio_options *options, uint64_t step) {
    s3dlio_error *err = NULL;
    const s3dlio_key_value metadata[] = {{"zeta", "last"}, {"alpha", "\"exactly\"\n"}};
    s3dlio_checkpoint_params params = params_of(step, 0, 2, NULL);
    params.epoch = 3, params.has_epoch = 1;
    params.framework = "test";
    params.metadata = metadata, params.metadata_count = 2;
    s3dlio_checkpoint_writer *first = begin(store, options, params);
    s3dlio_checkpoint_writer *second = begin(store, options, params_of(step, 1, 2, s3dlio_checkpoint_writer_id(first)));
    put_rows(first, 0);
    put_rows(second, 1);
    OK(s3dlio_checkpoint_writer_put_bytes(second, "extra", "one rank's own", 14, &err));
    OK(s3dlio_checkpoint_writer_finish(second, &err));
    OK(s3dlio_checkpoint_writer_finish(second, &err));
    OK(s3dlio_checkpoint_writer_commit(first, &err));
    OK(s3dlio_checkpoint_writer_commit(second, &err));
    OK(s3dlio_checkpoint_writer_commit(second, &err));
    s3dlio_checkpoint_writer_free(first);
    s3dlio_checkpoint_writer_free(second);
}

static s3dlio_checkpoint *opened(s3dlio_store *store, uint64_t step) {
    s3dlio_error *err = NULL;
    s3dlio_checkpoint *checkpoint = NULL;
    OK(s3dlio_checkpoint_open(store, NULL, step, &checkpoint, &err));
    return checkpoint;
}

/* Rank `rank` of `size` loads its own rows and columns: a job of another size. */
static void load_box(s3dlio_checkpoint *checkpoint, uint64_t row, uint64_t column, uint64_t rows, uint64_t columns) {
    s3dlio_error *err = NULL;
    float got[CELLS];
    const uint64_t start[2] = {row, column}, shape[2] = {rows, columns};
    memset(got, 0xee, sizeof got);
    s3dlio_tensor_request request = {.name = "w", .start = start, .shape = shape, .ndim = 2, .rank = -1,
                                     .data = got, .length = rows * columns * sizeof(float)};
    OK(s3dlio_checkpoint_load(checkpoint, &request, 1, &err));
    int wrong = 0;
    for (uint64_t i = 0; i < rows * columns; i++) {
        wrong += got[i] != cell((int)(row + i / columns), (int)(column + i % columns));
    }
    CHECK(wrong == 0);
    if (rows * columns < CELLS) CHECK(((unsigned char *)&got[rows * columns])[0] == 0xee);
}

static void facts(s3dlio_checkpoint *checkpoint, const backend *b, uint64_t step) {
    s3dlio_error *err = NULL;
    s3dlio_checkpoint_info info;
    s3dlio_entry_info entry;
    s3dlio_shard_info shard;
    const char *name, *value;
    size_t index = 77;
    OK(s3dlio_checkpoint_get_info(checkpoint, &info, sizeof info, &err));
    CHECK(info.step == step && info.has_epoch == 1 && info.epoch == 3 && info.world_size == 2);
    CHECK(strcmp(info.framework, "test") == 0 && strcmp(info.strategy, "flat") == 0);
    CHECK(strlen(info.created) >= 20 && info.created[10] == 'T' && strlen(info.id) == 12 + 1 + 16);
    CHECK(strncmp(info.uri, b->root, strlen(b->root)) == 0 && strstr(info.uri, "/manifests/step-0000000") != NULL);
    CHECK(info.entry_count == 1 && info.shard_count == 3 && info.metadata_count == 2);
    CHECK(info.bytes > CELLS * sizeof(float) + 14 && info.stored_bytes == info.bytes);
    OK(s3dlio_checkpoint_metadata(checkpoint, 0, &name, &value, &err));
    CHECK(strcmp(name, "alpha") == 0 && strcmp(value, "\"exactly\"\n") == 0);
    OK(s3dlio_checkpoint_metadata(checkpoint, 1, &name, &value, &err));
    CHECK(strcmp(name, "zeta") == 0 && strcmp(value, "last") == 0);
    STATUS(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_checkpoint_metadata(checkpoint, 2, &name, &value, &err));
    OK(s3dlio_checkpoint_find(checkpoint, "w", &index, &err));
    CHECK(index == 0);
    OK(s3dlio_checkpoint_entry(checkpoint, index, &entry, sizeof entry, &err));
    CHECK(strcmp(entry.name, "w") == 0 && strcmp(entry.dtype, "F32") == 0 && entry.ndim == 2 && entry.parts == 2);
    CHECK(entry.shape[0] == ROWS && entry.shape[1] == COLUMNS && entry.bytes == CELLS * sizeof(float));
    STATUS(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_checkpoint_entry(checkpoint, 1, &entry, sizeof entry, &err));
    OK(s3dlio_checkpoint_shard_info(checkpoint, 2, &shard, sizeof shard, &err));
    CHECK(shard.rank == 1 && shard.kind == S3DLIO_SHARD_BYTES && strcmp(shard.name, "extra") == 0);
    CHECK(shard.size == 14 && shard.stored_size == 14 && shard.crc32c == s3dlio_crc32c(0, "one rank's own", 14));
    CHECK(strncmp(shard.key, "shards/", 7) == 0 && strstr(shard.key, info.id) != NULL);
    OK(s3dlio_checkpoint_shard_info(checkpoint, 0, &shard, sizeof shard, &err));
    CHECK(shard.rank == 0 && shard.kind == S3DLIO_SHARD_SAFETENSORS && strcmp(shard.name, "data") == 0);
    STATUS(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_checkpoint_shard_info(checkpoint, 3, &shard, sizeof shard, &err));
}

static void round_trip(const backend *b) {
    s3dlio_error *err = NULL;
    s3dlio_buffer *data = NULL;
    s3dlio_checkpoint *by_id = NULL;
    s3dlio_store *store = open_backend(b);
    s3dlio_checkpoint_info info;
    uint64_t steps[8] = {0};
    size_t count = 0;
    OK(s3dlio_store_create_container(store, &err));
    save(store, NULL, 7);
    s3dlio_checkpoint *checkpoint = opened(store, S3DLIO_LATEST);
    facts(checkpoint, b, 7);
    load_box(checkpoint, 0, 0, ROWS, COLUMNS);
    for (uint64_t rank = 0; rank < 3; rank++) load_box(checkpoint, rank * 2, 0, 2, COLUMNS); /* 3 of 2 */
    for (uint64_t rank = 0; rank < 5; rank++) load_box(checkpoint, 0, rank, ROWS, 1);        /* by columns */
    load_box(checkpoint, 2, 1, 2, 3); /* over the seam */
    load_box(checkpoint, 3, 2, 1, 0); /* nothing */
    float all[CELLS + 1];
    s3dlio_tensor_request request = {.name = "w", .rank = -1, .data = (char *)all + 1, .length = CELLS * sizeof(float)};
    OK(s3dlio_checkpoint_load(checkpoint, &request, 1, &err));
    float last;
    memcpy(&last, (char *)all + 1 + (CELLS - 1) * sizeof last, sizeof last);
    CHECK(last == cell(ROWS - 1, COLUMNS - 1));
    OK(s3dlio_checkpoint_load(checkpoint, NULL, 0, &err));
    OK(s3dlio_checkpoint_read_shard(checkpoint, 1, "extra", &data, &err));
    CHECK(s3dlio_buffer_size(data) == 14 && memcmp(s3dlio_buffer_data(data), "one rank's own", 14) == 0);
    s3dlio_buffer_free(data);
    OK(s3dlio_checkpoint_read_shard(checkpoint, 0, NULL, &data, &err));
    const char *raw = s3dlio_buffer_data(data);
    CHECK(s3dlio_buffer_size(data) > 8 + CELLS / 2 * sizeof(float) && raw[8] == '{'); /* safetensors */
    s3dlio_buffer_free(data);
    OK(s3dlio_checkpoint_validate(checkpoint, 0, &err));
    OK(s3dlio_checkpoint_validate(checkpoint, 1, &err));
    OK(s3dlio_checkpoint_get_info(checkpoint, &info, sizeof info, &err));
    OK(s3dlio_checkpoint_open_id(store, NULL, info.id, &by_id, &err));
    s3dlio_store_free(store); /* the checkpoint keeps what it needs */
    load_box(by_id, 1, 1, 4, 2);
    s3dlio_checkpoint_free(by_id);
    s3dlio_checkpoint_free(checkpoint);

    store = open_backend(b);
    for (uint64_t step = 8; step <= 12; step++) save(store, NULL, step);
    OK(s3dlio_checkpoint_list(store, steps, 8, &count, &err));
    CHECK(count == 6 && steps[0] == 7 && steps[5] == 12);
    OK(s3dlio_checkpoint_list(store, NULL, 0, &count, &err));
    CHECK(count == 6);
    OK(s3dlio_checkpoint_list(store, steps, 2, &count, &err));
    CHECK(count == 6 && steps[0] == 11 && steps[1] == 12 && steps[2] == 9);
    OK(s3dlio_checkpoint_prune(store, 2, 5, &count, &err));
    CHECK(count == 3); /* 7, 8, 9: 10 is a multiple of 5 */
    OK(s3dlio_checkpoint_list(store, steps, 8, &count, &err));
    CHECK(count == 3 && steps[0] == 10 && steps[1] == 11 && steps[2] == 12);
    STATUS(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_checkpoint_prune(store, 0, 0, NULL, &err));
    OK(s3dlio_checkpoint_delete(store, 12, &err));
    STATUS(S3DLIO_ERR_NOT_FOUND, s3dlio_checkpoint_delete(store, 12, &err));
    checkpoint = opened(store, S3DLIO_LATEST);
    OK(s3dlio_checkpoint_get_info(checkpoint, &info, sizeof info, &err));
    CHECK(info.step == 11);
    s3dlio_checkpoint_free(checkpoint);
    OK(s3dlio_checkpoint_collect(store, 0, &count, &err));
    CHECK(count == 0); /* the deleted ones left nothing */
    OK(s3dlio_checkpoint_prune(store, 1, 0, NULL, &err));
    OK(s3dlio_checkpoint_delete(store, 11, &err));
    s3dlio_store_free(store);
}

/* C2, C3: compressed, and spread over prefixes. */
static void options_of_a_save(const backend *b) {
    s3dlio_error *err = NULL;
    s3dlio_options *options = NULL;
    s3dlio_shard_info shard;
    s3dlio_checkpoint_info info;
    s3dlio_store *store = open_backend(b);
    OK(s3dlio_options_new(&options, &err));
    OK(s3dlio_options_set(options, "writer.compression", "zstd", &err));
    OK(s3dlio_options_set(options, "checkpoint.strategy", "binary", &err));
    save(store, options, 20);
    s3dlio_checkpoint *checkpoint = opened(store, 20);
    load_box(checkpoint, 1, 1, 4, 3);
    OK(s3dlio_checkpoint_validate(checkpoint, 1, &err));
    OK(s3dlio_checkpoint_get_info(checkpoint, &info, sizeof info, &err));
    CHECK(strcmp(info.strategy, "binary") == 0 && info.stored_bytes != info.bytes);
    OK(s3dlio_checkpoint_shard_info(checkpoint, 1, &shard, sizeof shard, &err));
    CHECK(strncmp(shard.key, "shards/80000000/", 16) == 0 && strstr(shard.key, ".safetensors.zst") != NULL);
    s3dlio_checkpoint_free(checkpoint);
    OK(s3dlio_checkpoint_delete(store, 20, &err));
    s3dlio_options_free(options);
    s3dlio_store_free(store);
}

/* Two tensors in pieces that begin and end anywhere, and a plain stream beside them. */
static void streamed(const backend *b) {
    s3dlio_error *err = NULL;
    s3dlio_checkpoint_shard *shard = NULL, *plain = NULL, *dropped = NULL;
    s3dlio_write_stats stats;
    s3dlio_buffer *data = NULL;
    s3dlio_store *store = open_backend(b);
    unsigned char *bytes = malloc(2 * LARGE), *got = malloc(2 * LARGE);
    const uint64_t large[1] = {LARGE / 4};
    s3dlio_tensor tensors[] = {{.name = "a", .dtype = "I32", .shape = large, .ndim = 1},
                               {.name = "scalar", .dtype = "U8"},
                               {.name = "b", .dtype = "F32", .shape = large, .ndim = 1}};
    size_t at = 0, end = 2 * LARGE + 1, room = 0;
    void *memory = NULL;
    fill(bytes, 2 * LARGE, 3);
    s3dlio_checkpoint_writer *writer = begin(store, NULL, params_of(30, 0, 1, NULL));
    OK(s3dlio_checkpoint_writer_open_shard(writer, "model", tensors, 3, &shard, &err));
    OK(s3dlio_checkpoint_writer_open_shard(writer, "pickle", NULL, 0, &plain, &err));
    OK(s3dlio_checkpoint_writer_open_shard(writer, "dropped", NULL, 0, &dropped, &err));
    STATUS(S3DLIO_ERR_ALREADY_EXISTS, s3dlio_checkpoint_writer_put_bytes(writer, "model", "x", 1, &err));
    OK(s3dlio_checkpoint_shard_write(dropped, bytes, 1000, &err));
    repeating = 1;
    while (at < LARGE) { /* the first tensor and the scalar, written */
        size_t n = LARGE + 1 - at < 77777 ? LARGE + 1 - at : 77777;
        OK(s3dlio_checkpoint_shard_write(shard, bytes + at, n, &err));
        OK(s3dlio_checkpoint_shard_write(plain, bytes + at, n, &err));
        at += n;
    }
    while (at < end) { /* the second tensor, filled in place */
        OK(s3dlio_checkpoint_shard_reserve(shard, 1, &memory, &room, &err));
        size_t n = end - at < room ? end - at : room;
        memcpy(memory, bytes + at - 1, n);
        OK(s3dlio_checkpoint_shard_commit(shard, n, &err));
        at += n;
    }
    repeating = 0;
    STATUS(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_checkpoint_shard_write(shard, "x", 1, &err)); /* it is full */
    s3dlio_checkpoint_shard_free(dropped); /* the save goes on without it */
    OK(s3dlio_checkpoint_shard_finish(shard, &stats, sizeof stats, &err));
    CHECK(stats.finished == 1 && stats.bytes > 2 * LARGE + 1 && stats.stored_bytes == stats.bytes);
    OK(s3dlio_checkpoint_shard_finish(plain, NULL, 0, &err));
    STATUS(S3DLIO_ERR_INVALID_STATE, s3dlio_checkpoint_shard_write(plain, "x", 1, &err));
    s3dlio_checkpoint_shard_free(plain);
    OK(s3dlio_checkpoint_writer_commit(writer, &err));
    STATUS(S3DLIO_ERR_INVALID_STATE, s3dlio_checkpoint_writer_abort(writer, &err));
    STATUS(S3DLIO_ERR_INVALID_STATE, s3dlio_checkpoint_writer_put_bytes(writer, "late", "x", 1, &err));
    s3dlio_checkpoint_shard_free(shard);
    s3dlio_checkpoint_writer_free(writer);

    s3dlio_checkpoint *checkpoint = opened(store, 30);
    unsigned char one = 0;
    memset(got, 0, 2 * LARGE);
    s3dlio_tensor_request requests[] = {{.name = "b", .rank = -1, .data = got + LARGE, .length = LARGE},
                                        {.name = "scalar", .rank = 0, .data = &one, .length = 1},
                                        {.name = "a", .rank = -1, .data = got, .length = LARGE}};
    OK(s3dlio_checkpoint_load(checkpoint, requests, 3, &err));
    CHECK(memcmp(got, bytes, 2 * LARGE) == 0 && one == bytes[LARGE]);
    OK(s3dlio_checkpoint_read_shard(checkpoint, 0, "pickle", &data, &err));
    CHECK(s3dlio_buffer_size(data) == LARGE + 1 && memcmp(s3dlio_buffer_data(data), bytes, LARGE + 1) == 0);
    s3dlio_buffer_free(data);
    STATUS(S3DLIO_ERR_NOT_FOUND, s3dlio_checkpoint_read_shard(checkpoint, 0, "dropped", &data, &err));
    s3dlio_checkpoint_free(checkpoint);

    /* Too little, and a save that is handed in too early. */
    writer = begin(store, NULL, params_of(31, 0, 1, NULL));
    OK(s3dlio_checkpoint_writer_open_shard(writer, "short", tensors, 1, &shard, &err));
    OK(s3dlio_checkpoint_shard_write(shard, bytes, 100, &err));
    STATUS(S3DLIO_ERR_TRUNCATED, s3dlio_checkpoint_shard_finish(shard, NULL, 0, &err));
    s3dlio_checkpoint_shard_free(shard);
    OK(s3dlio_checkpoint_writer_open_shard(writer, "open", NULL, 0, &shard, &err));
    STATUS(S3DLIO_ERR_INVALID_STATE, s3dlio_checkpoint_writer_finish(writer, &err));
    OK(s3dlio_checkpoint_writer_abort(writer, &err));
    OK(s3dlio_checkpoint_writer_abort(writer, &err));
    STATUS(S3DLIO_ERR_INVALID_STATE, s3dlio_checkpoint_writer_commit(writer, &err));
    STATUS(S3DLIO_ERR_INVALID_STATE, s3dlio_checkpoint_shard_finish(shard, NULL, 0, &err));
    s3dlio_checkpoint_shard_free(shard);
    s3dlio_checkpoint_writer_free(writer);
    STATUS(S3DLIO_ERR_NOT_FOUND, s3dlio_checkpoint_open(store, NULL, 31, &checkpoint, &err));
    OK(s3dlio_checkpoint_delete(store, 30, &err));
    free(bytes);
    free(got);
    s3dlio_store_free(store);
}

static int32_t taken(s3dlio_queue *queue, uint64_t token, uint64_t *bytes) {
    s3dlio_error *err = NULL;
    s3dlio_event event;
    if (!OK(s3dlio_queue_next(queue, 60000, &event, sizeof event, &err))) return S3DLIO_ERR_INTERNAL;
    CHECK(event.token == token && (event.status < 0) == (event.error != NULL));
    if (bytes != NULL) *bytes = event.bytes;
    s3dlio_error_free(event.error);
    return event.status;
}

/* The tensors change at once; the checkpoint has what they were. */
static void snapshots(const backend *b) {
    s3dlio_error *err = NULL;
    s3dlio_queue *queue = NULL;
    s3dlio_op *op = NULL;
    s3dlio_checkpoint *checkpoint = NULL;
    s3dlio_store *store = open_backend(b);
    unsigned char *memory = malloc(LARGE), *expected = malloc(LARGE);
    const uint64_t shape[1] = {LARGE};
    s3dlio_tensor tensor = {.name = "state", .dtype = "U8", .shape = shape, .ndim = 1, .data = memory, .length = LARGE};
    uint64_t done = 0, total = 0, bytes = 0;
    size_t count = 99;
    fill(memory, LARGE, 8);
    memcpy(expected, memory, LARGE);
    OK(s3dlio_queue_new(&queue, &err));
    s3dlio_checkpoint_writer *writer = begin(store, NULL, params_of(40, 0, 1, NULL));
    OK(s3dlio_checkpoint_writer_snapshot_tensors(writer, "one", &tensor, 1, &err));
    memset(memory, 1, LARGE);
    OK(s3dlio_checkpoint_writer_snapshot_tensors(writer, "two", NULL, 0, &err));
    OK(s3dlio_checkpoint_writer_commit_submit(writer, queue, 5, &op, &err));
    s3dlio_checkpoint_writer_free(writer); /* the save goes on */
    CHECK(taken(queue, 5, NULL) == S3DLIO_OK);
    OK(s3dlio_op_progress(op, &done, &total, &err));
    CHECK(done >= LARGE && total == UINT64_MAX);
    s3dlio_op_free(op);
    checkpoint = opened(store, 40);
    s3dlio_tensor_request request = {.name = "state", .rank = -1, .data = memory, .length = LARGE};
    OK(s3dlio_checkpoint_load_submit(checkpoint, &request, 1, queue, 6, NULL, &err));
    s3dlio_checkpoint_free(checkpoint);
    CHECK(taken(queue, 6, &bytes) == S3DLIO_OK && bytes == LARGE);
    CHECK(memcmp(memory, expected, LARGE) == 0);

    /* Rank 1 never comes: the commit is cancelled while it waits. */
    s3dlio_options *hasty = NULL;
    OK(s3dlio_options_new(&hasty, &err));
    OK(s3dlio_options_set(hasty, "checkpoint.timeout_ms", "300", &err));
    writer = begin(store, hasty, params_of(41, 0, 2, NULL));
    s3dlio_options_free(hasty);
    OK(s3dlio_checkpoint_writer_snapshot_tensors(writer, "one", &tensor, 1, &err));
    OK(s3dlio_checkpoint_writer_commit_submit(writer, queue, 7, &op, &err));
    STATUS(S3DLIO_ERR_INVALID_STATE, s3dlio_checkpoint_writer_finish(writer, &err)); /* it is busy */
    STATUS(S3DLIO_ERR_INVALID_STATE, s3dlio_checkpoint_writer_commit_submit(writer, queue, 8, NULL, &err));
    OK(s3dlio_op_cancel(op, &err));
    CHECK(taken(queue, 7, NULL) == S3DLIO_ERR_CANCELLED);
    s3dlio_op_free(op);
    /* It was cut short while it stored, or, where only rank 1 was missing, may be tried again. */
    int32_t status = s3dlio_checkpoint_writer_commit(writer, &err);
    CHECK(status == S3DLIO_ERR_CANCELLED || status == S3DLIO_ERR_TIMEOUT);
    s3dlio_error_free(err);
    OK(s3dlio_checkpoint_writer_abort(writer, &err));
    s3dlio_checkpoint_writer_free(writer);
    STATUS(S3DLIO_ERR_NOT_FOUND, s3dlio_checkpoint_open(store, NULL, 41, &checkpoint, &err));

    /* finish in the background, commit where the host's barrier was. */
    writer = begin(store, NULL, params_of(42, 0, 1, NULL));
    OK(s3dlio_checkpoint_writer_snapshot_tensors(writer, "one", &tensor, 1, &err));
    OK(s3dlio_checkpoint_writer_finish_submit(writer, queue, 9, NULL, &err));
    CHECK(taken(queue, 9, NULL) == S3DLIO_OK);
    STATUS(S3DLIO_ERR_NOT_FOUND, s3dlio_checkpoint_open(store, NULL, 42, &checkpoint, &err));
    OK(s3dlio_checkpoint_writer_commit(writer, &err));
    s3dlio_checkpoint_writer_free(writer);
    OK(s3dlio_checkpoint_delete(store, 42, &err));
    OK(s3dlio_checkpoint_delete(store, 40, &err));

    /* Two tensors in one buffer and an empty one in none of it: nothing is copied, and its handle may go. */
    s3dlio_buffer *buffer = NULL;
    OK(s3dlio_buffer_new(LARGE, &buffer, &err));
    unsigned char *inside = s3dlio_buffer_data(buffer);
    memcpy(inside, expected, LARGE);
    const uint64_t some[1] = {1000}, others[1] = {LARGE - 1000}, none[1] = {0};
    s3dlio_tensor lying[3] = {
        {.name = "some", .dtype = "U8", .shape = some, .ndim = 1, .data = inside, .length = 1000},
        {.name = "others", .dtype = "U8", .shape = others, .ndim = 1, .data = inside + 1000, .length = LARGE - 1000},
        {.name = "none", .dtype = "U8", .shape = none, .ndim = 1, .data = NULL, .length = 0}};
    const s3dlio_buffer *buffers[3] = {buffer, buffer, buffer};
    writer = begin(store, NULL, params_of(43, 0, 1, NULL));
    lying[1].data = inside + 1001;
    STATUS(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_checkpoint_writer_snapshot_buffers(writer, "one", lying, buffers, 3, &err));
    lying[1].data = memory;
    STATUS(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_checkpoint_writer_snapshot_buffers(writer, "one", lying, buffers, 3, &err));
    lying[1].data = inside + 1000;
    STATUS(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_checkpoint_writer_snapshot_buffers(writer, "one", lying, NULL, 3, &err));
    buffers[2] = NULL;
    STATUS(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_checkpoint_writer_snapshot_buffers(writer, "one", lying, buffers, 3, &err));
    buffers[2] = buffer;
    OK(s3dlio_checkpoint_writer_snapshot_buffers(writer, "one", lying, buffers, 3, &err));
    s3dlio_buffer_free(buffer);
    OK(s3dlio_checkpoint_writer_commit_submit(writer, queue, 10, NULL, &err));
    CHECK(taken(queue, 10, NULL) == S3DLIO_OK);
    s3dlio_checkpoint_writer_free(writer);
    checkpoint = opened(store, 43);
    memset(memory, 1, LARGE);
    s3dlio_tensor_request both[2] = {
        {.name = "some", .rank = -1, .data = memory, .length = 1000},
        {.name = "others", .rank = -1, .data = memory + 1000, .length = LARGE - 1000}};
    OK(s3dlio_checkpoint_load(checkpoint, both, 2, &err));
    CHECK(memcmp(memory, expected, LARGE) == 0);
    s3dlio_checkpoint_free(checkpoint);
    OK(s3dlio_checkpoint_delete(store, 43, &err));
    OK(s3dlio_shutdown(30000, &err)); /* what was abandoned is removed */
    OK(s3dlio_checkpoint_collect(store, 0, &count, &err));
    s3dlio_queue_free(queue);
    s3dlio_store_free(store);
    free(memory);
    free(expected);
}

/* Ranks that agree through the storage: each is a thread with a store of its own. */
typedef struct {
    const backend *b;
    uint32_t rank;
    char id[40];
} rank_thread;

static void *one_rank(void *argument) {
    rank_thread *self = argument;
    s3dlio_error *err = NULL;
    s3dlio_store *store = open_backend(self->b);
    s3dlio_checkpoint_params params = params_of(50, self->rank, 2, NULL);
    params.run_id = "launch 1";
    s3dlio_checkpoint_writer *writer = begin(store, NULL, params);
    snprintf(self->id, sizeof self->id, "%s", s3dlio_checkpoint_writer_id(writer));
    put_rows(writer, self->rank);
    OK(s3dlio_checkpoint_writer_commit(writer, &err));
    s3dlio_checkpoint_writer_free(writer);
    s3dlio_store_free(store);
    return NULL;
}

static void agreement(const backend *b) {
    s3dlio_error *err = NULL;
    pthread_t threads[2];
    rank_thread ranks[2] = {{.b = b, .rank = 1}, {.b = b, .rank = 0}};
    for (int i = 0; i < 2; i++) CHECK(pthread_create(&threads[i], NULL, one_rank, &ranks[i]) == 0);
    for (int i = 0; i < 2; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(strlen(ranks[0].id) == 29 && strcmp(ranks[0].id, ranks[1].id) == 0);
    s3dlio_store *store = open_backend(b);
    s3dlio_checkpoint *checkpoint = opened(store, 50);
    load_box(checkpoint, 0, 0, ROWS, COLUMNS);
    s3dlio_checkpoint_free(checkpoint);
    OK(s3dlio_checkpoint_delete(store, 50, &err));
    s3dlio_store_free(store);
}

/* A failure with this code whose message has all of these texts; the error stays in *err. */
static void fails(int32_t status, int32_t expected, s3dlio_error *err, int line, const char *const *texts) {
    const char *message = s3dlio_error_message(err);
    check_(status == expected && s3dlio_error_code(err) == expected, __FILE__, line, s3dlio_status_name(status), message);
    for (; *texts != NULL; texts++) {
        check_(message != NULL && strstr(message, *texts) != NULL, __FILE__, line, *texts, message);
    }
}
#define FAILS(code, call, ...)                                                                                 \
    do {                                                                                                       \
        const char *const texts_[] = {__VA_ARGS__, NULL};                                                      \
        int32_t status_ = call;                                                                                \
        fails(status_, code, err, __LINE__, texts_);                                                           \
        s3dlio_error_free(err);                                                                                \
        err = NULL;                                                                                            \
    } while (0)

static void errors_of_a_save(const backend *b) {
    s3dlio_error *err = NULL;
    s3dlio_checkpoint *checkpoint = NULL;
    s3dlio_options *hasty = NULL;
    s3dlio_checkpoint_writer *other = NULL;
    s3dlio_store *store = open_backend(b);
    OK(s3dlio_options_new(&hasty, &err));
    OK(s3dlio_options_set(hasty, "checkpoint.timeout_ms", "300", &err));
    FAILS(S3DLIO_ERR_NOT_FOUND, s3dlio_checkpoint_open(store, NULL, S3DLIO_LATEST, &checkpoint, &err),
          "there is no committed checkpoint", b->root);
    FAILS(S3DLIO_ERR_NOT_FOUND, s3dlio_checkpoint_open(store, NULL, 60, &checkpoint, &err),
          "step 60 has no committed checkpoint", "step-000000000060.json");

    /* A rank that is missing, and comes late. */
    s3dlio_checkpoint_writer *first = begin(store, hasty, params_of(60, 0, 3, NULL));
    const char *id = s3dlio_checkpoint_writer_id(first);
    s3dlio_checkpoint_writer *last = begin(store, hasty, params_of(60, 2, 3, id));
    OK(s3dlio_checkpoint_writer_finish(last, &err));
    int32_t status = s3dlio_checkpoint_writer_commit(first, &err);
    const char *missing = s3dlio_error_detail(err, "missing_ranks");
    CHECK(missing != NULL && strcmp(missing, "1") == 0);
    FAILS(S3DLIO_ERR_TIMEOUT, status, "1 of 3 ranks did not finish", id, "checkpoint.timeout_ms");
    FAILS(S3DLIO_ERR_TIMEOUT, s3dlio_checkpoint_writer_commit(last, &err), "rank 0 did not commit");
    s3dlio_checkpoint_writer *late = begin(store, NULL, params_of(60, 1, 3, id));
    OK(s3dlio_checkpoint_writer_finish(late, &err));

    /* The same rank twice. */
    s3dlio_checkpoint_writer *twin = begin(store, NULL, params_of(60, 1, 3, id));
    FAILS(S3DLIO_ERR_ALREADY_EXISTS, s3dlio_checkpoint_writer_finish(twin, &err), "rank 1", id, "rank-00001.json");
    s3dlio_checkpoint_writer_free(twin);
    OK(s3dlio_checkpoint_writer_commit(first, &err));
    OK(s3dlio_checkpoint_writer_commit(late, &err));
    s3dlio_checkpoint_writer_free(first);
    s3dlio_checkpoint_writer_free(late);
    s3dlio_checkpoint_writer_free(last);

    /* The step is taken: at the beginning, and at the end of a save that began before. */
    s3dlio_checkpoint_params params = params_of(60, 0, 1, NULL);
    FAILS(S3DLIO_ERR_ALREADY_EXISTS,
          s3dlio_checkpoint_writer_open(store, NULL, &params, sizeof params, &other, &err),
          "step 60 has a committed checkpoint", "delete that checkpoint");
    s3dlio_checkpoint_writer *slow = begin(store, NULL, params_of(61, 0, 1, NULL));
    save(store, NULL, 61);
    FAILS(S3DLIO_ERR_ALREADY_EXISTS, s3dlio_checkpoint_writer_commit(slow, &err), "step 61 has a committed checkpoint");
    s3dlio_checkpoint_writer_free(slow);

    /* A rank that counts otherwise. */
    first = begin(store, NULL, params_of(62, 0, 2, NULL));
    other = begin(store, NULL, params_of(62, 1, 4, s3dlio_checkpoint_writer_id(first)));
    OK(s3dlio_checkpoint_writer_finish(other, &err));
    FAILS(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_checkpoint_writer_commit(first, &err),
          "rank 1 saved as one of 4 ranks, but this save is of 2");
    s3dlio_checkpoint_writer_free(first);
    s3dlio_checkpoint_writer_free(other);

    /* A rank that gives up tells rank 0 why. */
    first = begin(store, NULL, params_of(63, 0, 2, NULL));
    other = begin(store, NULL, params_of(63, 1, 2, s3dlio_checkpoint_writer_id(first)));
    OK(s3dlio_checkpoint_writer_abort(other, &err));
    FAILS(S3DLIO_ERR_CANCELLED, s3dlio_checkpoint_writer_commit(first, &err), "rank 1 gave up");
    s3dlio_checkpoint_writer_free(first);
    s3dlio_checkpoint_writer_free(other);

    /* Half of a tensor. */
    first = begin(store, NULL, params_of(64, 0, 1, NULL));
    put_rows(first, 0);
    FAILS(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_checkpoint_writer_commit(first, &err), "box of shape [3, 5] from [3, 0]", "\"w\"");
    s3dlio_checkpoint_writer_free(first);

    /* Free without commit leaves nothing behind. */
    first = begin(store, NULL, params_of(65, 0, 1, NULL));
    put_rows(first, 0);
    s3dlio_checkpoint_writer_free(first);
    FAILS(S3DLIO_ERR_NOT_FOUND, s3dlio_checkpoint_open(store, NULL, 65, &checkpoint, &err), "step 65");

    OK(s3dlio_checkpoint_delete(store, 60, &err));
    OK(s3dlio_checkpoint_delete(store, 61, &err));
    s3dlio_options_free(hasty);
    s3dlio_store_free(store);
}

static void wrong_arguments(void) {
    s3dlio_error *err = NULL;
    s3dlio_store *store = NULL;
    s3dlio_checkpoint *checkpoint = NULL;
    s3dlio_checkpoint_writer *writer = NULL;
    s3dlio_checkpoint_shard *shard = NULL;
    float memory[CELLS];
    uint64_t start[2], none[2] = {0, 0}, far[2] = {4, 0};
#define REFUSED(call, ...) FAILS(S3DLIO_ERR_INVALID_ARGUMENT, call, __VA_ARGS__)
#define OPEN(params) s3dlio_checkpoint_writer_open(store, NULL, &params, sizeof params, &writer, &err)
    OK(s3dlio_store_open("memory://checkpoint-arguments", NULL, &store, &err));
    s3dlio_checkpoint_params params = params_of(1, 0, 0, NULL);
    REFUSED(OPEN(params), "world of 0");
    params = params_of(1, 2, 2, NULL);
    REFUSED(OPEN(params), "rank 2 of a world of 2");
    params = params_of(1000000000000, 0, 1, NULL);
    REFUSED(OPEN(params), "1000000000000");
    params = params_of(1, 1, 2, NULL);
    REFUSED(OPEN(params), "run_id");
    params = params_of(1, 0, 1, "not-an-id");
    REFUSED(OPEN(params), "not-an-id");
    params = params_of(1, 0, 1, "000000000002-0123456789abcdef");
    REFUSED(OPEN(params), "not of step 1");
    params = params_of(1, 0, 1, NULL);
    params.has_epoch = 2;
    REFUSED(OPEN(params), "has_epoch is 2");
    params.has_epoch = 0, params.epoch = 5;
    REFUSED(OPEN(params), "epoch is 5 but has_epoch is 0");
    params.epoch = 0, params.reserved = 1;
    REFUSED(OPEN(params), "reserved");
    params.reserved = 0;
    const s3dlio_key_value twice[] = {{"a", "1"}, {"a", "2"}};
    params.metadata = twice, params.metadata_count = 2;
    REFUSED(OPEN(params), "\"a\" twice");
    params.metadata_count = 0;
    params.framework = "\xff";
    REFUSED(OPEN(params), "framework is not UTF-8");
    params.framework = NULL;
    REFUSED(s3dlio_checkpoint_writer_open(store, NULL, NULL, sizeof params, &writer, &err), "params is NULL");
    REFUSED(s3dlio_checkpoint_writer_open(store, NULL, &params, 0, &writer, &err), "size of params");
    REFUSED(s3dlio_checkpoint_writer_open(store, NULL, &params, sizeof params, NULL, &err), "writer is NULL");
    CHECK(writer == NULL);

    writer = begin(store, NULL, params);
    s3dlio_tensor good = rows_of(0, memory, start), bad;
#define PUT(field, value, ...)                                                                                 \
    bad = good, bad.field = value;                                                                             \
    REFUSED(s3dlio_checkpoint_writer_put_tensors(writer, NULL, &bad, 1, &err), __VA_ARGS__);                   \
    REFUSED(s3dlio_checkpoint_writer_snapshot_tensors(writer, NULL, &bad, 1, &err), __VA_ARGS__)
    PUT(name, NULL, "name is NULL");
    PUT(name, "", "a name has 1 to");
    PUT(dtype, NULL, "dtype is NULL");
    PUT(dtype, "float32", "float32", "F32");
    PUT(shape, NULL, "shape is NULL");
    PUT(start, far, "\"w\"", "not within");
    PUT(flags, 2, "flags", "\"w\"");
    PUT(length, 59, "60 bytes, but 59");
    PUT(data, NULL, "data is NULL");
    REFUSED(s3dlio_checkpoint_writer_put_tensors(writer, NULL, NULL, 1, &err), "tensors is NULL");
    REFUSED(s3dlio_checkpoint_writer_put_tensors(writer, NULL, &good, SIZE_MAX / 2, &err), "tensors");
    REFUSED(s3dlio_checkpoint_writer_put_tensors(writer, "a/b", &good, 1, &err), "a/b");
    REFUSED(s3dlio_checkpoint_writer_put_bytes(writer, "", "x", 1, &err), "name of a shard");
    REFUSED(s3dlio_checkpoint_writer_put_bytes(writer, NULL, NULL, 1, &err), "data is NULL");
    bad = good, bad.name = NULL;
    s3dlio_tensor two[] = {good, bad};
    s3dlio_checkpoint_writer_put_tensors(writer, NULL, two, 2, &err);
    CHECK(s3dlio_error_detail(err, "index") != NULL && strcmp(s3dlio_error_detail(err, "index"), "1") == 0);
    s3dlio_error_free(err);
    bad = good, bad.flags = S3DLIO_TENSOR_REPLICATED;
    REFUSED(s3dlio_checkpoint_writer_open_shard(writer, "x", &bad, 1, &shard, &err), "replicated");
    REFUSED(s3dlio_checkpoint_writer_open_shard(writer, "x", NULL, 0, NULL, &err), "stream is NULL");
    OK(s3dlio_checkpoint_writer_put_tensors(writer, NULL, &good, 1, &err)); /* none of that changed anything */
    good = rows_of(1, memory, start);
    OK(s3dlio_checkpoint_writer_put_tensors(writer, "second", &good, 1, &err));
    OK(s3dlio_checkpoint_writer_commit(writer, &err));
    s3dlio_checkpoint_writer_free(writer);

    checkpoint = opened(store, 1);
    s3dlio_tensor_request request = {.name = "w", .rank = -1, .data = memory, .length = sizeof memory}, wrong;
#define LOAD(field, value, ...)                                                                                \
    wrong = request, wrong.field = value;                                                                      \
    REFUSED(s3dlio_checkpoint_load(checkpoint, &wrong, 1, &err), __VA_ARGS__)
    OK(s3dlio_checkpoint_load(checkpoint, &request, 1, &err));
    LOAD(name, NULL, "name is NULL");
    LOAD(ndim, 2, "ndim of 2");
    LOAD(flags, 1, "flags");
    LOAD(rank, -2, "rank -2");
    LOAD(length, 119, "120", "119");
    LOAD(data, NULL, "data is NULL");
    wrong = request, wrong.start = none, wrong.ndim = 1;
    FAILS(S3DLIO_ERR_RANGE, s3dlio_checkpoint_load(checkpoint, &wrong, 1, &err), "\"w\"", "[6, 5]");
    wrong = request, wrong.start = far, wrong.shape = half, wrong.ndim = 2, wrong.length = 60;
    FAILS(S3DLIO_ERR_RANGE, s3dlio_checkpoint_load(checkpoint, &wrong, 1, &err), "[3, 5] from [4, 0]", "[6, 5]");
    wrong = request, wrong.name = "v";
    FAILS(S3DLIO_ERR_NOT_FOUND, s3dlio_checkpoint_load(checkpoint, &wrong, 1, &err), "no entry \"v\"");
    size_t index;
    FAILS(S3DLIO_ERR_NOT_FOUND, s3dlio_checkpoint_find(checkpoint, "v", &index, &err), "no entry \"v\"");
    FAILS(S3DLIO_ERR_NOT_FOUND, s3dlio_checkpoint_read_shard(checkpoint, 1, NULL, &(s3dlio_buffer *){NULL}, &err),
          "rank 1 has no shard");
    const uint64_t top[2] = {0, 0}, row[2] = {1, COLUMNS};
    s3dlio_tensor_request overlapping[] = {
        {.name = "w", .start = top, .shape = row, .ndim = 2, .rank = -1, .data = memory, .length = 20},
        {.name = "w", .start = top, .shape = row, .ndim = 2, .rank = -1, .data = memory + 4, .length = 20}};
    REFUSED(s3dlio_checkpoint_load(checkpoint, overlapping, 2, &err), "requests 0 and 1 overlap");
    REFUSED(s3dlio_checkpoint_validate(checkpoint, 2, &err), "deep is 2");
    s3dlio_checkpoint_free(checkpoint);
    REFUSED(s3dlio_checkpoint_open_id(store, NULL, "nonsense", &checkpoint, &err), "nonsense");
    FAILS(S3DLIO_ERR_NOT_FOUND,
          s3dlio_checkpoint_open_id(store, NULL, "000000000001-0123456789abcdef", &checkpoint, &err),
          "step 1 has the checkpoint", "not 000000000001-0123456789abcdef");
    REFUSED(s3dlio_checkpoint_open(store, NULL, 1, NULL, &err), "checkpoint is NULL");
    REFUSED(s3dlio_checkpoint_list(store, NULL, 1, &index, &err), "steps is NULL");
    REFUSED(s3dlio_checkpoint_list(store, NULL, 0, NULL, &err), "count is NULL");
    s3dlio_store_free(store);
}

/* The largest file below a folder whose name has this text. */
static char found[512];
static const char *wanted;
static int look(const char *path, const struct stat *st, int kind, struct FTW *at) {
    (void)st, (void)at;
    if (kind == FTW_F && strstr(path, wanted) != NULL) snprintf(found, sizeof found, "%s", path);
    return 0;
}
static const char *file_below(const char *folder, const char *text) {
    found[0] = 0, wanted = text;
    CHECK(nftw(folder, look, 8, FTW_PHYS) == 0 && found[0] != 0);
    return found;
}

static void change_byte(const char *path, long offset) {
    FILE *file = fopen(path, "r+b");
    if (!CHECK(file != NULL)) return;
    fseek(file, offset, offset < 0 ? SEEK_END : SEEK_SET);
    int byte = fgetc(file);
    fseek(file, -1, SEEK_CUR);
    fputc(byte ^ 0x10, file);
    fclose(file);
}

/* What is damaged on disk is named, with the code of what is wrong. */
static void damage(const char *folder) {
    s3dlio_error *err = NULL;
    s3dlio_store *store = NULL;
    s3dlio_checkpoint *checkpoint = NULL;
    char uri[128], path[600], line[256];
    float memory[CELLS];
    snprintf(uri, sizeof uri, "file://%s/damage", folder);
    snprintf(path, sizeof path, "%s/damage", folder);
    OK(s3dlio_store_open(uri, NULL, &store, &err));
    save(store, NULL, 1);
    s3dlio_tensor_request request = {.name = "w", .rank = -1, .data = memory, .length = sizeof memory};
    checkpoint = opened(store, 1);
    change_byte(file_below(path, ".extra.bin"), -1);
    OK(s3dlio_checkpoint_validate(checkpoint, 0, &err)); /* its size is right */
    FAILS(S3DLIO_ERR_CHECKSUM_MISMATCH, s3dlio_checkpoint_validate(checkpoint, 1, &err), ".extra.bin");
    change_byte(found, -1);
    OK(s3dlio_checkpoint_validate(checkpoint, 1, &err));
    change_byte(file_below(path, ".data.safetensors"), -1);
    FAILS(S3DLIO_ERR_CHECKSUM_MISMATCH, s3dlio_checkpoint_load(checkpoint, &request, 1, &err), ".data.safetensors");
    change_byte(found, -1);
    OK(s3dlio_checkpoint_load(checkpoint, &request, 1, &err));
    struct stat st;
    CHECK(stat(found, &st) == 0 && truncate(found, st.st_size - 1) == 0);
    int32_t status = s3dlio_checkpoint_validate(checkpoint, 0, &err);
    FAILS(S3DLIO_ERR_TRUNCATED, status, ".data.safetensors");
    status = s3dlio_checkpoint_load(checkpoint, &request, 1, &err);
    FAILS(S3DLIO_ERR_TRUNCATED, status, ".data.safetensors");
    CHECK(unlink(found) == 0);
    FAILS(S3DLIO_ERR_NOT_FOUND, s3dlio_checkpoint_load(checkpoint, &request, 1, &err), ".data.safetensors");
    s3dlio_checkpoint_free(checkpoint);

    /* A manifest with a flipped bit, one of a later version, one that is none; other files are passed over. */
    OK(s3dlio_store_put(store, "manifests/notes.txt", "x", 1, NULL, 0, NULL, 0, &err));
    size_t count = 0;
    OK(s3dlio_checkpoint_list(store, NULL, 0, &count, &err));
    CHECK(count == 1);
    change_byte(file_below(path, "step-000000000001.json"), 40);
    status = s3dlio_checkpoint_open(store, NULL, 1, &checkpoint, &err);
    FAILS(S3DLIO_ERR_CHECKSUM_MISMATCH, status, "step-000000000001.json");
    OK(s3dlio_store_put(store, "manifests/step-000000000002.json", "hello\n", 6, NULL, 0, NULL, 0, &err));
    FAILS(S3DLIO_ERR_CORRUPT, s3dlio_checkpoint_open(store, NULL, S3DLIO_LATEST, &checkpoint, &err),
          "step-000000000002.json");
    snprintf(line, sizeof line, "{\"format\":\"s3dlio-checkpoint\",\"version\":2,\"new\":true");
    uint32_t crc = s3dlio_crc32c(0, line, strlen(line));
    snprintf(line + strlen(line), 40, ",\"crc32c\":\"%08x\"}\n", crc);
    OK(s3dlio_store_put(store, "manifests/step-000000000003.json", line, strlen(line), NULL, 0, NULL, 0, &err));
    FAILS(S3DLIO_ERR_UNSUPPORTED, s3dlio_checkpoint_open(store, NULL, 3, &checkpoint, &err), "version 2",
          "step-000000000003.json");
    s3dlio_store_free(store);
}

/* A full disk: the save fails with errno, and the checkpoints before it are whole. */
static void full_disk(const char *folder) {
    s3dlio_error *err = NULL;
    s3dlio_store *store = NULL;
    s3dlio_checkpoint_shard *shard = NULL;
    char uri[128], path[128];
    if (geteuid() != 0) return (void)fprintf(stderr, "no full disk: only root can mount one\n");
    snprintf(path, sizeof path, "%s/full", folder);
    snprintf(uri, sizeof uri, "file://%s/base", path);
    CHECK(mkdir(path, 0755) == 0);
    if (mount("tmpfs", path, "tmpfs", 0, "size=1m") != 0) {
        CHECK(errno == EPERM);
        return (void)fprintf(stderr, "no full disk: this sandbox does not let mount\n");
    }
    unsigned char *memory = calloc(LARGE, 1);
    const uint64_t shape[1] = {LARGE};
    s3dlio_tensor tensor = {.name = "state", .dtype = "U8", .shape = shape, .ndim = 1, .data = memory, .length = LARGE};
    OK(s3dlio_store_open(uri, NULL, &store, &err));
    save(store, NULL, 1);
    s3dlio_checkpoint_writer *writer = begin(store, NULL, params_of(2, 0, 1, NULL));
    int32_t status = s3dlio_checkpoint_writer_put_tensors(writer, NULL, &tensor, 1, &err);
    CHECK(s3dlio_error_os_errno(err) == ENOSPC);
    FAILS(S3DLIO_ERR_NO_SPACE, status, uri, "rank-00000");
    FAILS(S3DLIO_ERR_NO_SPACE, s3dlio_checkpoint_writer_commit(writer, &err), uri); /* the first error stays */
    s3dlio_checkpoint_writer_free(writer);
    writer = begin(store, NULL, params_of(2, 0, 1, NULL));
    OK(s3dlio_checkpoint_writer_open_shard(writer, NULL, NULL, 0, &shard, &err));
    status = s3dlio_checkpoint_shard_write(shard, memory, LARGE, &err);
    if (status == S3DLIO_OK) status = s3dlio_checkpoint_shard_finish(shard, NULL, 0, &err);
    FAILS(S3DLIO_ERR_NO_SPACE, status, uri);
    s3dlio_checkpoint_shard_free(shard);
    s3dlio_checkpoint_writer_free(writer);
    s3dlio_checkpoint *checkpoint = opened(store, S3DLIO_LATEST);
    load_box(checkpoint, 0, 0, ROWS, COLUMNS);
    s3dlio_checkpoint_free(checkpoint);
    s3dlio_store_free(store);
    free(memory);
    OK(s3dlio_shutdown(30000, &err));
    CHECK(umount2(path, MNT_DETACH) == 0);
}

/* Root may do everything, so somebody else tries. */
static void permissions(const char *folder) {
    s3dlio_error *err = NULL;
    s3dlio_store *store = NULL;
    char uri[128], path[128];
    snprintf(path, sizeof path, "%s/locked", folder);
    snprintf(uri, sizeof uri, "file://%s", path);
    OK(s3dlio_store_open(uri, NULL, &store, &err));
    save(store, NULL, 1);
    s3dlio_store_free(store);
    CHECK(chmod(path, 0700) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        s3dlio_checkpoint *checkpoint = NULL;
        s3dlio_checkpoint_writer *writer = NULL;
        s3dlio_checkpoint_params params = params_of(2, 0, 1, NULL);
        size_t count;
        alarm(30);
        atomic_store(&failed, 0); /* what failed before is the parent's to report */
        if (geteuid() == 0) CHECK(setgid(65534) == 0 && setuid(65534) == 0);
        else CHECK(chmod(path, 0) == 0);
        OK(s3dlio_store_open(uri, NULL, &store, &err));
        FAILS(S3DLIO_ERR_PERMISSION_DENIED, s3dlio_checkpoint_open(store, NULL, S3DLIO_LATEST, &checkpoint, &err), uri);
        FAILS(S3DLIO_ERR_PERMISSION_DENIED, s3dlio_checkpoint_open(store, NULL, 1, &checkpoint, &err), uri);
        FAILS(S3DLIO_ERR_PERMISSION_DENIED, s3dlio_checkpoint_list(store, NULL, 0, &count, &err), uri);
        FAILS(S3DLIO_ERR_PERMISSION_DENIED, s3dlio_checkpoint_delete(store, 1, &err), uri);
        FAILS(S3DLIO_ERR_PERMISSION_DENIED,
              s3dlio_checkpoint_writer_open(store, NULL, &params, sizeof params, &writer, &err), uri);
        _exit(atomic_load(&failed) != 0);
    }
    int status = 1;
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(chmod(path, 0700) == 0);
}

/* A child may not go on with its parent's save, but may load. */
static void forked(const backend *b) {
    s3dlio_error *err = NULL;
    s3dlio_checkpoint_shard *shard = NULL;
    s3dlio_store *store = open_backend(b);
    save(store, NULL, 70);
    s3dlio_checkpoint *checkpoint = opened(store, 70);
    s3dlio_checkpoint_writer *writer = begin(store, NULL, params_of(71, 0, 1, NULL));
    OK(s3dlio_checkpoint_writer_open_shard(writer, NULL, NULL, 0, &shard, &err));
    OK(s3dlio_checkpoint_shard_write(shard, "parent", 6, &err));
    pid_t pid = fork();
    if (pid == 0) {
        s3dlio_tensor_request none = {0};
        alarm(60);
        atomic_store(&failed, 0);
        (void)none;
        STATUS(S3DLIO_ERR_FORKED, s3dlio_checkpoint_writer_put_bytes(writer, "x", "x", 1, &err));
        STATUS(S3DLIO_ERR_FORKED, s3dlio_checkpoint_writer_finish(writer, &err));
        STATUS(S3DLIO_ERR_FORKED, s3dlio_checkpoint_writer_commit(writer, &err));
        STATUS(S3DLIO_ERR_FORKED, s3dlio_checkpoint_writer_abort(writer, &err));
        STATUS(S3DLIO_ERR_FORKED, s3dlio_checkpoint_shard_write(shard, "child", 5, &err));
        STATUS(S3DLIO_ERR_FORKED, s3dlio_checkpoint_shard_finish(shard, NULL, 0, &err));
        s3dlio_checkpoint_shard_free(shard);
        s3dlio_checkpoint_writer_free(writer);
        load_box(checkpoint, 1, 0, 3, COLUMNS);
        s3dlio_checkpoint_free(checkpoint);
        s3dlio_store *fresh = open_backend(b);
        save(fresh, NULL, 72);
        s3dlio_store_free(fresh);
        _exit(atomic_load(&failed) != 0);
    }
    int status = 1;
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    OK(s3dlio_checkpoint_shard_finish(shard, NULL, 0, &err));
    OK(s3dlio_checkpoint_writer_commit(writer, &err));
    s3dlio_checkpoint_shard_free(shard);
    s3dlio_checkpoint_writer_free(writer);
    s3dlio_checkpoint_free(checkpoint);
    checkpoint = opened(store, 71);
    OK(s3dlio_checkpoint_validate(checkpoint, 1, &err));
    s3dlio_checkpoint_free(checkpoint);
    int shared = strncmp(b->root, "memory:", 7) != 0;
    for (uint64_t step = 70; step <= (shared ? 72u : 71u); step++) OK(s3dlio_checkpoint_delete(store, step, &err));
    s3dlio_store_free(store);
}

/* The launchers' variables (C4). */
static void worlds(void) {
    static const char *const all[] = {
        "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_PORT", "MASTER_ADDR", "TORCHELASTIC_RUN_ID",
        "TORCHELASTIC_RESTART_COUNT", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
        "OMPI_COMM_WORLD_LOCAL_SIZE", "PMI_RANK", "PMI_SIZE", "SLURM_PROCID", "SLURM_NTASKS", NULL};
    s3dlio_error *err = NULL;
    s3dlio_world world;
    for (const char *const *name = all; *name != NULL; name++) unsetenv(*name);
    memset(&world, 0x5a, sizeof world);
    STATUS(S3DLIO_ERR_NOT_FOUND, s3dlio_world_detect(&world, sizeof world, &err));
    CHECK(world.rank == 0x5a5a5a5a);
    setenv("OMPI_COMM_WORLD_RANK", "3", 1), setenv("OMPI_COMM_WORLD_SIZE", "8", 1);
    setenv("OMPI_COMM_WORLD_LOCAL_RANK", "1", 1), setenv("OMPI_COMM_WORLD_LOCAL_SIZE", "2", 1);
    OK(s3dlio_world_detect(&world, sizeof world, &err));
    CHECK(world.rank == 3 && world.world_size == 8 && world.local_rank == 1 && world.local_world_size == 2);
    CHECK(strcmp(world.launcher, "openmpi") == 0);
    setenv("RANK", "1", 1), setenv("WORLD_SIZE", "2", 1);
    setenv("MASTER_ADDR", "node0", 1), setenv("MASTER_PORT", "29500", 1);
    setenv("TORCHELASTIC_RUN_ID", "job-7", 1), setenv("TORCHELASTIC_RESTART_COUNT", "2", 1);
    OK(s3dlio_world_detect(&world, sizeof world, &err));
    CHECK(world.rank == 1 && world.world_size == 2 && strcmp(world.launcher, "torchrun") == 0);
    CHECK(strstr(world.run_id, "job-7") != NULL);
    setenv("RANK", "many", 1);
    FAILS(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_world_detect(&world, sizeof world, &err), "RANK", "many");
    for (const char *const *name = all; *name != NULL; name++) unsetenv(*name);
    FAILS(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_world_detect(NULL, sizeof world, &err), "world is NULL");
}

int main(void) {
    char folder[64];
    backend all[8];
    watchdog();
    temporary_folder(folder);
    worlds();
    wrong_arguments();
    damage(folder);
    permissions(folder);
    full_disk(folder);
    int n = backends(all, folder, "checkpoint");
    for (int i = 0; i < n; i++) {
        fprintf(stderr, "-- %s\n", all[i].root);
        round_trip(&all[i]);
        errors_of_a_save(&all[i]);
        options_of_a_save(&all[i]);
        streamed(&all[i]);
        snapshots(&all[i]);
        agreement(&all[i]);
        forked(&all[i]);
        s3dlio_error *err = NULL;
        s3dlio_store *store = open_backend(&all[i]);
        OK(s3dlio_store_delete_prefix(store, "", NULL, &err));
        s3dlio_store_free(store);
        s3dlio_options_free(all[i].options);
    }
    s3dlio_error *err = NULL;
    OK(s3dlio_shutdown(30000, &err));
    remove_folder(folder);
    return summary("checkpoint");
}
