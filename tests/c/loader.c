/* Datasets, loaders and batches (L1, L2): order, shards, resume by a stored position, gather, batches that outlive their
 * loader, the queue variant, error policies, fork, and every documented error. */
#include "test.h"

enum { ITEMS = 53, SIZE = 300 };

/* Item i has SIZE + i bytes of its own. */
static size_t size_of(size_t i) { return SIZE + i; }

static void expected(size_t i, unsigned char *to) { fill(to, size_of(i), (uint32_t)(i + 1)); }

static void put_items(const backend *b) {
    s3dlio_error *err = NULL;
    s3dlio_store *store = open_backend(b);
    unsigned char memory[SIZE + ITEMS];
    int32_t status = s3dlio_store_create_container(store, &err);
    CHECK(status == S3DLIO_OK || status == S3DLIO_ERR_ALREADY_EXISTS || status == S3DLIO_ERR_UNSUPPORTED);
    s3dlio_error_free(err), err = NULL;
    for (size_t i = 0; i < ITEMS; i++) {
        char key[64];
        snprintf(key, sizeof key, "data/%c/item-%03zu.bin", 'a' + (char)(i / 20), i);
        expected(i, memory);
        OK(s3dlio_store_put(store, key, memory, size_of(i), NULL, 0, NULL, 0, &err));
    }
    OK(s3dlio_store_put(store, "data/readme.txt", "no item", 7, NULL, 0, NULL, 0, &err));
    s3dlio_store_free(store);
}

static s3dlio_dataset *open_items(const backend *b) {
    s3dlio_error *err = NULL;
    s3dlio_dataset *dataset = NULL;
    s3dlio_dataset_params params = {.glob = "**/*.bin"};
    char uri[200];
    snprintf(uri, sizeof uri, "%s/data/", b->root);
    OK(s3dlio_dataset_open(uri, &params, sizeof params, b->options, &dataset, &err));
    return dataset;
}

static s3dlio_dataset *indexed_items(const backend *b) {
    s3dlio_error *err = NULL;
    s3dlio_dataset *streamed = open_items(b), *indexed = NULL;
    uint64_t length = 0;
    OK(s3dlio_dataset_length(streamed, &length, &err));
    CHECK(length == S3DLIO_UNKNOWN_LENGTH);
    OK(s3dlio_dataset_index(streamed, &indexed, &err));
    OK(s3dlio_dataset_length(indexed, &length, &err));
    CHECK(length == ITEMS);
    s3dlio_dataset_free(streamed);
    return indexed;
}

static s3dlio_loader_params params_of(uint64_t batch_size, uint32_t rank, uint32_t world_size) {
    return (s3dlio_loader_params){.batch_size = batch_size, .seed = 7, .rank = rank, .world_size = world_size};
}

static s3dlio_loader *begin(s3dlio_dataset *dataset, s3dlio_loader_params params, s3dlio_options *options) {
    s3dlio_error *err = NULL;
    s3dlio_loader *loader = NULL;
    OK(s3dlio_loader_open(dataset, &params, sizeof params, options, &loader, &err));
    return loader;
}

/* Which item a sample is, by its URI; checks all of it. */
static size_t item_of(const s3dlio_sample *sample) {
    unsigned char memory[SIZE + ITEMS];
    const char *name = strstr(sample->uri, "/item-");
    size_t i = name ? (size_t)atoi(name + 6) : ITEMS;
    if (!CHECK(i < ITEMS)) return 0;
    expected(i, memory);
    CHECK(sample->length == size_of(i) && memcmp(sample->data, memory, size_of(i)) == 0);
    CHECK(sample->name[0] == 0 && sample->field_count == 1 && sample->index == i);
    CHECK(sample->fields[0].data == sample->data && sample->fields[0].length == sample->length && sample->fields[0].name[0] == 0);
    return i;
}

/* Draws up to `most` batches; gives the items in the order they came. */
static size_t draw(s3dlio_loader *loader, size_t most, size_t *items) {
    s3dlio_error *err = NULL;
    size_t count = 0;
    for (size_t n = 0; n < most; n++) {
        s3dlio_batch *batch = (s3dlio_batch *)-1;
        int32_t status = s3dlio_loader_next(loader, &batch, &err);
        if (status == S3DLIO_END) {
            CHECK(batch == (s3dlio_batch *)-1);
            break;
        }
        if (!STATUS(S3DLIO_OK, status)) break;
        const s3dlio_sample *samples = s3dlio_batch_samples(batch);
        CHECK(s3dlio_batch_count(batch) > 0);
        for (size_t i = 0; i < s3dlio_batch_count(batch) && count < 4 * ITEMS; i++) items[count++] = item_of(&samples[i]);
        s3dlio_batch_free(batch);
    }
    return count;
}

/* Whether these are all items, each once. */
static int all_once(const size_t *items, size_t count) {
    int seen[ITEMS] = {0};
    for (size_t i = 0; i < count; i++) seen[items[i]]++;
    for (size_t i = 0; i < ITEMS; i++) {
        if (seen[i] != 1) return 0;
    }
    return count == ITEMS;
}

static void orders(const backend *b) {
    s3dlio_error *err = NULL;
    s3dlio_dataset *streamed = open_items(b), *indexed = indexed_items(b);
    size_t items[4 * ITEMS], again[4 * ITEMS];
    s3dlio_loader *loader = begin(streamed, params_of(7, 0, 1), NULL);
    CHECK(draw(loader, 1000, items) == ITEMS);
    int sorted = 1;
    for (size_t i = 0; i < ITEMS; i++) sorted &= items[i] == i;
    CHECK(sorted);
    s3dlio_batch *batch = NULL;
    STATUS(S3DLIO_END, s3dlio_loader_next(loader, &batch, &err));
    s3dlio_loader_stats stats;
    OK(s3dlio_loader_get_stats(loader, &stats, sizeof stats, &err));
    CHECK(stats.items == ITEMS && stats.batches == 8 && stats.skipped == 0 && stats.in_flight == 0 && stats.buffered_items == 0);
    CHECK(stats.bytes == ITEMS * SIZE + ITEMS * (ITEMS - 1) / 2 && stats.wait_ns > 0 && stats.listed >= ITEMS);
    s3dlio_loader_free(loader);

    const char *const settings[] = {"loader.shuffle", "full", "loader.drop_last", "true", NULL};
    s3dlio_options *options = options_of(settings);
    loader = begin(indexed, params_of(10, 0, 1), options);
    CHECK(draw(loader, 1000, items) == 50);
    s3dlio_loader_free(loader);
    OK(s3dlio_options_set(options, "loader.drop_last", "false", &err));
    OK(s3dlio_options_set(options, "loader.order", "completion", &err));
    loader = begin(indexed, params_of(10, 0, 1), options);
    CHECK(all_once(items, draw(loader, 1000, items)));
    s3dlio_loader_free(loader);
    OK(s3dlio_options_set(options, "loader.order", "ordered", &err));
    loader = begin(indexed, params_of(10, 0, 1), options);
    CHECK(all_once(items, draw(loader, 1000, items)));
    s3dlio_loader_free(loader);
    loader = begin(indexed, params_of(1, 0, 1), options);
    CHECK(draw(loader, 1000, again) == ITEMS && memcmp(items, again, ITEMS * sizeof items[0]) == 0);
    s3dlio_loader_free(loader);
    s3dlio_loader_params second = params_of(10, 0, 1);
    second.epoch = 1;
    loader = begin(indexed, second, options);
    CHECK(draw(loader, 1000, again) == ITEMS && memcmp(items, again, ITEMS * sizeof items[0]) != 0);
    s3dlio_loader_free(loader);
    /* Ranks and workers share the epoch. */
    size_t count = 0;
    for (uint32_t rank = 0; rank < 2; rank++) {
        for (uint32_t worker = 0; worker < 2; worker++) {
            s3dlio_loader_params params = params_of(5, rank, 2);
            params.worker = worker, params.workers = 2;
            loader = begin(indexed, params, options);
            count += draw(loader, 1000, items + count);
            s3dlio_loader_free(loader);
        }
    }
    CHECK(all_once(items, count));
    s3dlio_options_free(options);
    s3dlio_dataset_free(streamed);
    s3dlio_dataset_free(indexed);
}

static char *state_of(s3dlio_loader *loader) {
    s3dlio_error *err = NULL;
    s3dlio_buffer *json = NULL;
    OK(s3dlio_loader_state(loader, &json, &err));
    char *text = strdup(json ? s3dlio_buffer_data(json) : "");
    CHECK(strlen(text) == s3dlio_buffer_size(json) && text[0] == '{');
    s3dlio_buffer_free(json);
    return text;
}

/* One worker stops anywhere and goes on; two of them stop and three go on. */
static void resume(const backend *b) {
    s3dlio_error *err = NULL;
    s3dlio_dataset *dataset = indexed_items(b);
    const char *const settings[] = {"loader.shuffle", "full", NULL};
    s3dlio_options *options = options_of(settings);
    size_t unbroken[4 * ITEMS], items[4 * ITEMS];
    s3dlio_loader *loader = begin(dataset, params_of(4, 0, 1), options);
    CHECK(draw(loader, 1000, unbroken) == ITEMS);
    s3dlio_loader_free(loader);
    for (size_t stop = 0; stop <= 14; stop += 2) {
        loader = begin(dataset, params_of(4, 0, 1), options);
        size_t count = draw(loader, stop, items);
        char *state = state_of(loader);
        s3dlio_loader_free(loader);
        s3dlio_loader_params params = params_of(4, 0, 1);
        params.states = (const char *const *)&state, params.state_count = 1;
        loader = begin(dataset, params, options);
        count += draw(loader, 1000, items + count);
        CHECK(count == ITEMS && memcmp(items, unbroken, sizeof items[0] * ITEMS) == 0);
        s3dlio_loader_free(loader);
        free(state);
    }
    char *states[2];
    size_t count = 0;
    for (uint32_t rank = 0; rank < 2; rank++) {
        loader = begin(dataset, params_of(4, rank, 2), options);
        count += draw(loader, 2 + rank, items + count);
        states[rank] = state_of(loader);
        s3dlio_loader_free(loader);
    }
    s3dlio_buffer *merged = NULL;
    OK(s3dlio_loader_merge_states((const char *const *)states, 2, &merged, &err));
    const char *one = s3dlio_buffer_data(merged);
    const size_t before = count;
    for (int whole = 0; whole < 2; whole++) { /* from both states, and from what was made of them */
        count = before;
        for (uint32_t rank = 0; rank < 3; rank++) {
            s3dlio_loader_params params = params_of(4, rank, 3);
            params.states = whole ? &one : (const char *const *)states, params.state_count = whole ? 1 : 2;
            loader = begin(dataset, params, options);
            count += draw(loader, 1000, items + count);
            s3dlio_loader_free(loader);
        }
        CHECK(all_once(items, count));
    }
    /* A state of another run, a missing one, and what is none. */
    s3dlio_loader_params params = params_of(4, 0, 3);
    const char *wrong[] = {"{}", states[0]};
    params.states = wrong, params.state_count = 1;
    s3dlio_loader *none = NULL;
    STATUS(S3DLIO_ERR_CORRUPT, s3dlio_loader_open(dataset, &params, sizeof params, options, &none, &err));
    params.states = wrong + 1;
    STATUS(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_loader_open(dataset, &params, sizeof params, options, &none, &err));
    params.states = NULL;
    STATUS(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_loader_open(dataset, &params, sizeof params, options, &none, &err));
    s3dlio_buffer *json = NULL;
    STATUS(S3DLIO_ERR_CORRUPT, s3dlio_loader_merge_states(wrong, 2, &json, &err));
    STATUS(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_loader_merge_states(wrong + 1, 1, &json, &err));
    STATUS(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_loader_merge_states(NULL, 0, &json, &err));
    STATUS(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_loader_merge_states(wrong + 1, 1, NULL, &err));
    CHECK(none == NULL && json == NULL);
    s3dlio_buffer_free(merged);
    free(states[0]), free(states[1]);
    s3dlio_options_free(options);
    s3dlio_dataset_free(dataset);
}

/* Items by number, gathered, and used after everything else is gone. */
static void batches(const backend *b) {
    s3dlio_error *err = NULL;
    s3dlio_dataset *dataset = indexed_items(b);
    const uint64_t wanted[] = {5, 0, 52, 5}, past[] = {1, ITEMS};
    s3dlio_batch *batch = NULL;
    OK(s3dlio_dataset_get_many(dataset, wanted, 4, &batch, &err));
    CHECK(s3dlio_batch_count(batch) == 4);
    for (size_t i = 0; i < 4; i++) CHECK(item_of(&s3dlio_batch_samples(batch)[i]) == wanted[i]);
    s3dlio_batch *none = NULL;
    CHECK(s3dlio_dataset_get_many(dataset, past, 2, &none, &err) == S3DLIO_ERR_INVALID_ARGUMENT);
    CHECK(s3dlio_error_detail(err, "index") != NULL && strcmp(s3dlio_error_detail(err, "index"), "53") == 0);
    s3dlio_error_free(err), err = NULL;
    OK(s3dlio_dataset_get_many(dataset, NULL, 0, &none, &err));
    CHECK(none != NULL && s3dlio_batch_count(none) == 0);
    uint64_t offsets[5] = {9, 9, 9, 9, 9};
    OK(s3dlio_batch_gather(none, 0, NULL, 0, offsets, &err));
    CHECK(offsets[0] == 0 && offsets[1] == 9);
    s3dlio_batch_free(none);
    s3dlio_dataset_free(dataset);

    unsigned char memory[4 * (SIZE + ITEMS)], item[SIZE + ITEMS];
    const size_t bytes = 4 * SIZE + 5 + 0 + 52 + 5;
    memset(memory, 0xee, sizeof memory);
    CHECK(s3dlio_batch_gather(batch, 0, memory, bytes - 1, offsets, &err) == S3DLIO_ERR_BUFFER_TOO_SMALL);
    char required[32];
    snprintf(required, sizeof required, "%zu", bytes);
    CHECK(strcmp(s3dlio_error_detail(err, "required"), required) == 0 && memory[0] == 0xee && offsets[1] == 9);
    s3dlio_error_free(err), err = NULL;
    OK(s3dlio_batch_gather(batch, 0, memory, bytes, offsets, &err));
    CHECK(offsets[0] == 0 && offsets[1] == SIZE + 5 && offsets[2] == 2 * SIZE + 5 && offsets[4] == bytes);
    for (size_t i = 0; i < 4; i++) {
        expected(wanted[i], item);
        CHECK(memcmp(memory + offsets[i], item, size_of(wanted[i])) == 0);
    }
    CHECK(memory[bytes] == 0xee);
    OK(s3dlio_batch_gather(batch, 0, memory, sizeof memory, NULL, &err));
    STATUS(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_batch_gather(batch, 1, memory, sizeof memory, NULL, &err));
    STATUS(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_batch_gather(batch, 0, NULL, 10, NULL, &err));
    s3dlio_batch_free(batch);
    STATUS(S3DLIO_ERR_BAD_HANDLE, s3dlio_batch_gather(batch, 0, memory, sizeof memory, NULL, &err));
    CHECK(s3dlio_batch_count(batch) == 0 && s3dlio_batch_samples(batch) == NULL);
    CHECK(s3dlio_batch_count(NULL) == 0 && s3dlio_batch_samples(NULL) == NULL);
    s3dlio_batch_free(batch);
}

/* A loader is freed with much under way, its batch is used after. */
static void freed_early(const backend *b) {
    s3dlio_error *err = NULL;
    for (int round = 0; round < repeat(20); round++) {
        s3dlio_dataset *dataset = open_items(b);
        s3dlio_loader *loader = begin(dataset, params_of(3, 0, 1), NULL);
        s3dlio_batch *batch = NULL;
        if (round % 2) OK(s3dlio_loader_next(loader, &batch, &err));
        s3dlio_dataset_free(dataset);
        s3dlio_loader_free(loader);
        s3dlio_loader_free(loader);
        STATUS(S3DLIO_ERR_BAD_HANDLE, s3dlio_loader_next(loader, &batch, &err));
        if (round % 2) CHECK(item_of(&s3dlio_batch_samples(batch)[2]) == 2);
        s3dlio_batch_free(batch);
    }
}

static s3dlio_event take(s3dlio_queue *queue) {
    s3dlio_error *err = NULL;
    s3dlio_event event;
    OK(s3dlio_queue_next(queue, 60000, &event, sizeof event, &err));
    return event;
}

static void submitted(const backend *b) {
    s3dlio_error *err = NULL;
    s3dlio_queue *queue = NULL;
    s3dlio_op *op = NULL;
    OK(s3dlio_queue_new(&queue, &err));
    s3dlio_dataset *dataset = open_items(b);
    s3dlio_loader *loader = begin(dataset, params_of(10, 0, 1), NULL);
    size_t items[ITEMS], count = 0;
    for (uint64_t token = 1;; token++) {
        OK(s3dlio_loader_next_submit(loader, queue, token, &op, &err));
        s3dlio_event event = take(queue);
        s3dlio_op_free(op);
        CHECK(event.token == token && event.error == NULL && event.data == NULL);
        if (event.status != S3DLIO_OK) {
            CHECK(event.status == S3DLIO_END && event.batch == NULL);
            break;
        }
        uint64_t bytes = 0;
        for (size_t i = 0; i < s3dlio_batch_count(event.batch); i++) {
            items[count++] = item_of(&s3dlio_batch_samples(event.batch)[i]);
            bytes += s3dlio_batch_samples(event.batch)[i].length;
        }
        CHECK(event.bytes == bytes);
        s3dlio_batch_free(event.batch);
    }
    CHECK(all_once(items, count));
    s3dlio_loader_free(loader);
    /* Free while one is under way: its event comes, and the batch is good. */
    for (int round = 0; round < repeat(20); round++) {
        loader = begin(dataset, params_of(10, 0, 1), NULL);
        OK(s3dlio_loader_next_submit(loader, queue, 77, NULL, &err));
        s3dlio_loader_free(loader);
        s3dlio_event event = take(queue);
        CHECK(event.token == 77 && event.status == S3DLIO_OK && s3dlio_batch_count(event.batch) == 10);
        if (event.batch) CHECK(item_of(&s3dlio_batch_samples(event.batch)[9]) == 9);
        s3dlio_error_free(event.error);
        s3dlio_batch_free(event.batch);
    }
    /* A cancelled one took nothing: the epoch is whole. */
    loader = begin(dataset, params_of(10, 0, 1), NULL);
    count = 0;
    for (int round = 0; round < 1000; round++) {
        OK(s3dlio_loader_next_submit(loader, queue, 78, &op, &err));
        if (round % 2 == 0) OK(s3dlio_op_cancel(op, &err));
        s3dlio_event event = take(queue);
        s3dlio_op_free(op);
        for (size_t i = 0; i < s3dlio_batch_count(event.batch) && count < ITEMS; i++) {
            items[count++] = item_of(&s3dlio_batch_samples(event.batch)[i]);
        }
        CHECK(event.status == S3DLIO_OK || event.status == S3DLIO_END || event.status == S3DLIO_ERR_CANCELLED);
        s3dlio_error_free(event.error);
        s3dlio_batch_free(event.batch);
        if (event.status == S3DLIO_END) break;
    }
    CHECK(all_once(items, count));
    STATUS(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_loader_next_submit(loader, NULL, 1, NULL, &err));
    STATUS(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_loader_next_submit(NULL, queue, 1, NULL, &err));
    OK(s3dlio_queue_close(queue, 0, &err));
    STATUS(S3DLIO_ERR_INVALID_STATE, s3dlio_loader_next_submit(loader, queue, 1, NULL, &err));
    s3dlio_loader_free(loader);
    s3dlio_dataset_free(dataset);
    s3dlio_queue_free(queue);
}

/* One of three URIs has no object. */
static void failing_items(const backend *b) {
    s3dlio_error *err = NULL;
    char texts[3][220];
    const char *uris[3] = {texts[0], texts[1], texts[2]};
    snprintf(texts[0], sizeof texts[0], "%s/data/a/item-000.bin", b->root);
    snprintf(texts[1], sizeof texts[1], "%s/data/a/missing.bin", b->root);
    snprintf(texts[2], sizeof texts[2], "%s/data/a/item-001.bin", b->root);
    s3dlio_dataset *dataset = NULL;
    OK(s3dlio_dataset_open_uris(uris, 3, NULL, 0, b->options, &dataset, &err));
    uint64_t length = 0;
    OK(s3dlio_dataset_length(dataset, &length, &err));
    CHECK(length == 3);
    s3dlio_loader *loader = begin(dataset, params_of(1, 0, 1), NULL);
    s3dlio_batch *batch = NULL;
    const int32_t statuses[] = {S3DLIO_OK, S3DLIO_ERR_NOT_FOUND, S3DLIO_OK, S3DLIO_END};
    for (size_t i = 0; i < 4; i++) {
        batch = NULL;
        CHECK(s3dlio_loader_next(loader, &batch, &err) == statuses[i]);
        CHECK((batch != NULL) == (statuses[i] == S3DLIO_OK));
        if (i == 1) CHECK(strcmp(s3dlio_error_detail(err, "uri"), texts[1]) == 0);
        s3dlio_error_free(err), err = NULL;
        s3dlio_batch_free(batch);
    }
    s3dlio_loader_free(loader);
    const char *const policies[] = {"skip", "substitute"};
    for (size_t i = 0; i < 2; i++) {
        const char *const settings[] = {"loader.on_error", policies[i], NULL};
        s3dlio_options *options = options_of(settings);
        loader = begin(dataset, params_of(2, 0, 1), options);
        size_t count = 0;
        while (s3dlio_loader_next(loader, &batch, &err) == S3DLIO_OK) {
            count += s3dlio_batch_count(batch);
            s3dlio_batch_free(batch);
        }
        s3dlio_loader_stats stats;
        OK(s3dlio_loader_get_stats(loader, &stats, sizeof stats, &err));
        CHECK(count == 2 && stats.items == 2 && (i == 0 ? stats.skipped : stats.substituted) == 1);
        s3dlio_loader_free(loader);
        s3dlio_options_free(options);
    }
    const uint64_t second[] = {0, 1};
    CHECK(s3dlio_dataset_get_many(dataset, second, 2, &batch, &err) == S3DLIO_ERR_NOT_FOUND);
    CHECK(strcmp(s3dlio_error_detail(err, "index"), "1") == 0 && strcmp(s3dlio_error_detail(err, "uri"), texts[1]) == 0);
    s3dlio_error_free(err);
    s3dlio_dataset_free(dataset);
}

static void manifests(const backend *b, const char *folder) {
    s3dlio_error *err = NULL;
    char uri[200], path[128];
    snprintf(uri, sizeof uri, "%s/data/", b->root);
    snprintf(path, sizeof path, "%s/manifest", folder);
    const s3dlio_dataset_params params = {.regex = "item-0[0-4].*\\.bin$"};
    uint64_t count = 0, length = 0;
    OK(s3dlio_dataset_write_manifest(uri, &params, sizeof params, b->options, path, &count, &err));
    CHECK(count == 50);
    OK(s3dlio_dataset_write_manifest(uri, &params, sizeof params, b->options, path, NULL, &err));
    s3dlio_dataset *dataset = NULL;
    OK(s3dlio_dataset_open_manifest(path, NULL, 0, b->options, &dataset, &err));
    OK(s3dlio_dataset_length(dataset, &length, &err));
    CHECK(length == 50);
    size_t items[4 * ITEMS];
    s3dlio_loader *loader = begin(dataset, params_of(16, 0, 1), NULL);
    CHECK(draw(loader, 1000, items) == 50);
    s3dlio_loader_free(loader);
    s3dlio_dataset_free(dataset);
    snprintf(path, sizeof path, "%s/none", folder);
    STATUS(S3DLIO_ERR_NOT_FOUND, s3dlio_dataset_open_manifest(path, NULL, 0, b->options, &dataset, &err));
}

/* A dataset goes through fork(), a loader does not. */
static void forked(const backend *b) {
    s3dlio_dataset *dataset = open_items(b);
    s3dlio_loader *loader = begin(dataset, params_of(5, 0, 1), NULL);
    size_t items[4 * ITEMS];
    CHECK(draw(loader, 2, items) == 10);
    pid_t child = fork();
    if (child == 0) {
        atomic_store(&failed, 0);
        s3dlio_error *err = NULL;
        s3dlio_batch *batch = NULL;
        s3dlio_buffer *json = NULL;
        s3dlio_loader_stats stats;
        STATUS(S3DLIO_ERR_FORKED, s3dlio_loader_next(loader, &batch, &err));
        STATUS(S3DLIO_ERR_FORKED, s3dlio_loader_state(loader, &json, &err));
        STATUS(S3DLIO_ERR_FORKED, s3dlio_loader_get_stats(loader, &stats, sizeof stats, &err));
        s3dlio_loader_free(loader);
        loader = begin(dataset, params_of(5, 0, 1), NULL);
        CHECK(draw(loader, 1000, items) == ITEMS);
        s3dlio_loader_free(loader);
        s3dlio_dataset_free(dataset);
        _exit(atomic_load(&failed) != 0);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(draw(loader, 1000, items + 10) == ITEMS - 10 && all_once(items, ITEMS));
    s3dlio_loader_free(loader);
    s3dlio_dataset_free(dataset);
}

/* One next at a time: of many threads each batch goes to one, the others are told. */
static s3dlio_loader *shared;
static atomic_size_t drawn;

static void *compete(void *unused) {
    (void)unused;
    for (;;) {
        s3dlio_error *err = NULL;
        s3dlio_batch *batch = NULL;
        int32_t status = s3dlio_loader_next(shared, &batch, &err);
        s3dlio_error_free(err);
        if (status == S3DLIO_END) return NULL;
        if (status != S3DLIO_OK && status != S3DLIO_ERR_INVALID_STATE) {
            check_(0, __FILE__, __LINE__, "competing next", s3dlio_status_name(status));
            return NULL;
        }
        atomic_fetch_add(&drawn, s3dlio_batch_count(batch));
        s3dlio_batch_free(batch);
    }
}

static void competing(const backend *b) {
    s3dlio_dataset *dataset = open_items(b);
    pthread_t threads[4];
    shared = begin(dataset, params_of(2, 0, 1), NULL);
    for (int i = 0; i < 4; i++) CHECK(pthread_create(&threads[i], NULL, compete, NULL) == 0);
    for (int i = 0; i < 4; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(atomic_exchange(&drawn, 0) == ITEMS);
    s3dlio_loader_free(shared);
    s3dlio_dataset_free(dataset);
}

static void errors(const backend *b) {
    s3dlio_error *err = NULL;
    s3dlio_dataset *dataset = NULL;
    s3dlio_loader *loader = NULL;
    s3dlio_batch *batch = NULL;
    uint64_t number = 7;
    char uri[200];
    snprintf(uri, sizeof uri, "%s/data/", b->root);
    s3dlio_dataset_params params = {.format = 99};
    const char *const uris[] = {uri, NULL}, *const nonsense[] = {"nonsense"};
#define REFUSED(call) STATUS(S3DLIO_ERR_INVALID_ARGUMENT, call)
    REFUSED(s3dlio_dataset_open(NULL, NULL, 0, NULL, &dataset, &err));
    REFUSED(s3dlio_dataset_open(uri, NULL, 0, NULL, NULL, &err));
    REFUSED(s3dlio_dataset_open(uri, &params, sizeof params, NULL, &dataset, &err));
    params = (s3dlio_dataset_params){.regex = "(unclosed"};
    REFUSED(s3dlio_dataset_open(uri, &params, sizeof params, NULL, &dataset, &err));
    params = (s3dlio_dataset_params){.format = S3DLIO_FORMAT_FIXED};
    REFUSED(s3dlio_dataset_open(uri, &params, sizeof params, NULL, &dataset, &err));
    params = (s3dlio_dataset_params){.glob = "\xff"};
    REFUSED(s3dlio_dataset_open(uri, &params, sizeof params, NULL, &dataset, &err));
    STATUS(S3DLIO_ERR_INVALID_URI, s3dlio_dataset_open("nonsense", NULL, 0, NULL, &dataset, &err));
    REFUSED(s3dlio_dataset_open_uris(uris, 2, NULL, 0, NULL, &dataset, &err));
    REFUSED(s3dlio_dataset_open_uris(NULL, 2, NULL, 0, NULL, &dataset, &err));
    STATUS(S3DLIO_ERR_INVALID_URI, s3dlio_dataset_open_uris(nonsense, 1, NULL, 0, NULL, &dataset, &err));
    REFUSED(s3dlio_dataset_open_manifest(NULL, NULL, 0, NULL, &dataset, &err));
    REFUSED(s3dlio_dataset_write_manifest(uri, NULL, 0, NULL, NULL, &number, &err));
    REFUSED(s3dlio_dataset_write_manifest(NULL, NULL, 0, NULL, "/nowhere", &number, &err));
    REFUSED(s3dlio_dataset_length(NULL, &number, &err));
    REFUSED(s3dlio_dataset_index(NULL, &dataset, &err));
    REFUSED(s3dlio_loader_open(NULL, NULL, 0, NULL, &loader, &err));
    REFUSED(s3dlio_loader_next(NULL, &batch, &err));
    CHECK(dataset == NULL && loader == NULL && batch == NULL && number == 7);

    dataset = open_items(b);
    REFUSED(s3dlio_dataset_length(dataset, NULL, &err));
    REFUSED(s3dlio_dataset_get_many(dataset, &number, 1, NULL, &err));
    REFUSED(s3dlio_dataset_get_many(dataset, NULL, 1, &batch, &err));
    STATUS(S3DLIO_ERR_INVALID_STATE, s3dlio_dataset_get_many(dataset, &number, 1, &batch, &err));
    REFUSED(s3dlio_loader_open(dataset, NULL, 0, NULL, NULL, &err));
    const char *const settings[] = {"loader.shuffle", "full", NULL};
    s3dlio_options *options = options_of(settings);
    REFUSED(s3dlio_loader_open(dataset, NULL, 0, options, &loader, &err));
    s3dlio_options_free(options);
    s3dlio_loader_params rank = params_of(1, 2, 2), worker = params_of(1, 0, 1);
    worker.worker = 1;
    REFUSED(s3dlio_loader_open(dataset, &rank, sizeof rank, NULL, &loader, &err));
    REFUSED(s3dlio_loader_open(dataset, &worker, sizeof worker, NULL, &loader, &err));
    CHECK(loader == NULL && batch == NULL);
    OK(s3dlio_loader_open(dataset, NULL, 0, NULL, &loader, &err));
    REFUSED(s3dlio_loader_next(loader, NULL, &err));
    REFUSED(s3dlio_loader_state(loader, NULL, &err));
    REFUSED(s3dlio_loader_get_stats(loader, NULL, sizeof(s3dlio_loader_stats), &err));
    OK(s3dlio_loader_next(loader, &batch, &err)); /* batches of 1 */
    CHECK(s3dlio_batch_count(batch) == 1);
    s3dlio_batch_free(batch);
    s3dlio_loader_free(loader);
    s3dlio_dataset_free(dataset);
    STATUS(S3DLIO_ERR_BAD_HANDLE, s3dlio_dataset_length(dataset, &number, &err));
    STATUS(S3DLIO_ERR_BAD_HANDLE, s3dlio_loader_next(loader, &batch, &err));
    STATUS(S3DLIO_ERR_BAD_HANDLE, s3dlio_loader_next((s3dlio_loader *)dataset, &batch, &err));
    STATUS(S3DLIO_ERR_BAD_HANDLE, s3dlio_loader_open(dataset, NULL, 0, NULL, &loader, &err));
    s3dlio_dataset_free(dataset), s3dlio_dataset_free(NULL), s3dlio_loader_free(NULL), s3dlio_batch_free(NULL);
}

int main(void) {
    backend all[8];
    char folder[64];
    watchdog();
    temporary_folder(folder);
    int count = backends(all, folder, "c-loader");
    for (int i = 0; i < count; i++) {
        put_items(&all[i]);
        orders(&all[i]);
        resume(&all[i]);
        batches(&all[i]);
        failing_items(&all[i]);
        manifests(&all[i], folder);
    }
    for (int i = 0; i < 2; i++) {
        freed_early(&all[i]);
        submitted(&all[i]);
        competing(&all[i]);
    }
    /* Valgrind 3.19 fails an assertion of its own where a forked child starts threads after it mapped files. */
    const char *preload = getenv("LD_PRELOAD");
    if (preload == NULL || strstr(preload, "vgpreload") == NULL) forked(&all[1]);
    errors(&all[1]);
    for (int i = 0; i < count; i++) s3dlio_options_free(all[i].options);
    remove_folder(folder);
    return summary("loader");
}
