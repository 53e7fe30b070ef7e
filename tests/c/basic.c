/* Round trips through every function, on memory and files and on the servers that are there. */
#include "test.h"

#include <ctype.h>

enum { MIB = 1 << 20 };

static void library(void) {
    s3dlio_error *err = NULL;
    s3dlio_stats stats;
    CHECK(s3dlio_abi_version() == S3DLIO_ABI_VERSION);
    CHECK(strcmp(s3dlio_version(), S3DLIO_VERSION_STRING) == 0);
    CHECK(s3dlio_has_feature("s3") && s3dlio_has_feature("azure") && s3dlio_has_feature("file"));
    CHECK(s3dlio_has_feature("direct") && s3dlio_has_feature("memory") && s3dlio_has_feature("zstd"));
    CHECK(!s3dlio_has_feature("az") && !s3dlio_has_feature("") && !s3dlio_has_feature("gopher"));
    CHECK(strcmp(s3dlio_status_name(S3DLIO_OK), "ok") == 0);
    CHECK(strcmp(s3dlio_status_name(S3DLIO_END), "end") == 0);
    CHECK(strcmp(s3dlio_status_name(S3DLIO_ERR_NOT_FOUND), "not_found") == 0);
    CHECK(strstr(s3dlio_status_doc(S3DLIO_ERR_NO_SPACE), "full") != NULL);
    /* I1: the known answer, in one piece, in two, and combined. */
    CHECK(s3dlio_crc32c(0, "123456789", 9) == 0xe3069283u);
    uint32_t head = s3dlio_crc32c(0, "1234", 4), tail = s3dlio_crc32c(0, "56789", 5);
    CHECK(s3dlio_crc32c(head, "56789", 5) == 0xe3069283u);
    CHECK(s3dlio_crc32c_combine(head, tail, 5) == 0xe3069283u);
    OK(s3dlio_get_stats(&stats, sizeof stats, &err));
    CHECK(stats.handles == 0);
}

static void options(void) {
    s3dlio_error *err = NULL;
    s3dlio_options *one = NULL, *two = NULL;
    s3dlio_buffer *value = NULL;
    OK(s3dlio_options_new(&one, &err));
    OK(s3dlio_options_set(one, "transfer.part_size", "8MiB", &err));
    OK(s3dlio_options_clone(one, &two, &err));
    OK(s3dlio_options_set_u64(one, "transfer.part_size", 5 * MIB, &err));
    OK(s3dlio_options_get(one, "transfer.part_size", &value, &err));
    CHECK(strcmp(s3dlio_buffer_data(value), "5242880") == 0 && s3dlio_buffer_size(value) == 7);
    s3dlio_buffer_free(value);
    OK(s3dlio_options_get(two, "transfer.part_size", &value, &err));
    CHECK(strcmp(s3dlio_buffer_data(value), "8388608") == 0);
    s3dlio_buffer_free(value);
    OK(s3dlio_options_set(one, "s3.secret_access_key", "canary", &err));
    OK(s3dlio_options_get(one, "s3.secret_access_key", &value, &err));
    CHECK(strcmp(s3dlio_buffer_data(value), "***") == 0);
    s3dlio_buffer_free(value);
    OK(s3dlio_options_get(NULL, "writer.compression", &value, &err));
    CHECK(strcmp(s3dlio_buffer_data(value), "none") == 0);
    s3dlio_buffer_free(value);
    CHECK(s3dlio_options_set(one, "transfer.partsize", "1", &err) == S3DLIO_ERR_UNKNOWN_OPTION);
    CHECK(strstr(s3dlio_error_message(err), "transfer.part_size") != NULL);
    CHECK(strstr(s3dlio_error_detail(err, "hint"), "transfer.part_size") != NULL);
    CHECK(s3dlio_error_retryable(err) == 0 && s3dlio_error_http_status(err) == 0);
    CHECK(s3dlio_error_os_errno(err) == 0 && s3dlio_error_detail_count(err) >= 1);
    const char *key = NULL, *text = NULL;
    CHECK(s3dlio_error_detail_at(err, 0, &key, &text) == S3DLIO_OK && strcmp(key, "operation") == 0);
    CHECK(strcmp(text, "s3dlio_options_set") == 0);
    s3dlio_error_free(err);
    err = NULL;
    const char *before = "";
    for (size_t i = 0; i < s3dlio_option_count(); i++) {
        s3dlio_option_info info;
        OK(s3dlio_option_at(i, &info, sizeof info, &err));
        CHECK(strcmp(before, info.key) < 0 && info.doc[0] != 0 && strncmp(info.env, "S3DLIO_", 7) == 0);
        CHECK(islower((unsigned char)info.type[0]) && info.bounds != NULL && info.default_value != NULL);
        before = info.key;
    }
    s3dlio_options_free(one);
    s3dlio_options_free(two);
}

static void buffers(void) {
    s3dlio_error *err = NULL;
    s3dlio_buffer *one = NULL, *two = NULL, *empty = NULL;
    OK(s3dlio_buffer_new(5000, &one, &err));
    CHECK(s3dlio_buffer_size(one) == 5000 && (uintptr_t)s3dlio_buffer_data(one) % 4096 == 0);
    memset(s3dlio_buffer_data(one), 7, 5000);
    OK(s3dlio_buffer_clone(one, &two, &err));
    CHECK(one != two && s3dlio_buffer_data(one) == s3dlio_buffer_data(two));
    s3dlio_buffer_free(one);
    CHECK(((unsigned char *)s3dlio_buffer_data(two))[4999] == 7);
    s3dlio_buffer_free(two);
    OK(s3dlio_buffer_new(0, &empty, &err));
    CHECK(s3dlio_buffer_size(empty) == 0 && s3dlio_buffer_data(empty) != NULL);
    s3dlio_buffer_free(empty);
}

static int same(s3dlio_buffer *buffer, const void *data, size_t length) {
    int good = s3dlio_buffer_size(buffer) == length && memcmp(s3dlio_buffer_data(buffer), data, length) == 0;
    s3dlio_buffer_free(buffer);
    return good;
}

static void objects(const backend *b, s3dlio_store *store, const s3dlio_capabilities *caps) {
    s3dlio_error *err = NULL;
    s3dlio_buffer *data = NULL, *strings = NULL;
    s3dlio_object_info info;
    s3dlio_write_stats stats;
    char uri[256], memory[16];
    size_t n = 99;
    int32_t exists = -1;

    s3dlio_key_value pair = {"team", "blue green"};
    s3dlio_put_options put;
    memset(&put, 0, sizeof put);
    put.content_type = "text/plain";
    put.metadata = &pair;
    put.metadata_count = 1;
    if (!caps->metadata) put.content_type = NULL, put.metadata_count = 0;
    OK(s3dlio_store_put(store, "a/hello", "hello world", 11, &put, sizeof put, &stats, sizeof stats, &err));
    CHECK(stats.bytes == 11 && stats.stored_bytes == 11 && stats.finished == 1 && stats.parts == 1);
    CHECK(stats.crc32c == s3dlio_crc32c(0, "hello world", 11) && stats.stored_crc32c == stats.crc32c);
    OK(s3dlio_store_get(store, "a/hello", &data, &err));
    CHECK(same(data, "hello world", 11));
    OK(s3dlio_store_get_range(store, "a/hello", 6, 3, &data, &err));
    CHECK(same(data, "wor", 3));
    OK(s3dlio_store_get_range(store, "a/hello", 6, S3DLIO_TO_END, &data, &err));
    CHECK(same(data, "world", 5));
    OK(s3dlio_store_get_range(store, "a/hello", 11, 5, &data, &err));
    CHECK(same(data, "", 0));
    STATUS(S3DLIO_ERR_RANGE, s3dlio_store_get_range(store, "a/hello", 12, 1, &data, &err));
    OK(s3dlio_store_get_into(store, "a/hello", memory, sizeof memory, &n, &err));
    CHECK(n == 11 && memcmp(memory, "hello world", 11) == 0);
    CHECK(s3dlio_store_get_into(store, "a/hello", memory, 5, &n, &err) == S3DLIO_ERR_BUFFER_TOO_SMALL);
    CHECK(n == 11 && strcmp(s3dlio_error_detail(err, "required"), "11") == 0);
    CHECK(strncmp(s3dlio_error_detail(err, "uri"), b->root, strlen(b->root)) == 0);
    s3dlio_error_free(err);
    OK(s3dlio_store_get_range_into(store, "a/hello", 9, memory, sizeof memory, &n, &err));
    CHECK(n == 2 && memcmp(memory, "ld", 2) == 0);
    s3dlio_range ranges[3] = {{6, 5, memory, 0}, {0, 5, memory + 5, 0}, {10, 4, memory + 10, 0}};
    OK(s3dlio_store_get_ranges(store, "a/hello", ranges, 3, &err));
    CHECK(memcmp(memory, "worldhellod", 11) == 0 && ranges[0].bytes_read == 5 && ranges[2].bytes_read == 1);

    OK(s3dlio_store_stat(store, "a/hello", &info, sizeof info, &strings, &err));
    snprintf(uri, sizeof uri, "%s/a/hello", b->root);
    CHECK(info.kind == S3DLIO_KIND_OBJECT && info.size == 11 && info.last_modified_ns > 1600000000000000000);
    CHECK(strcmp(info.key, "a/hello") == 0 && strcmp(info.uri, uri) == 0 && info.etag != NULL);
    if (caps->metadata) {
        CHECK(strcmp(info.content_type, "text/plain") == 0 && info.metadata_count == 1);
        CHECK(strcmp(info.metadata[0].key, "team") == 0 && strcmp(info.metadata[0].value, "blue green") == 0);
    }
    s3dlio_buffer_free(strings);
    OK(s3dlio_store_stat(store, "a/hello", &info, sizeof info, NULL, &err));
    CHECK(info.size == 11 && info.key == NULL && info.uri == NULL && info.metadata_count == 0);
    OK(s3dlio_store_exists(store, "a/hello", &exists, &err));
    CHECK(exists == 1);
    OK(s3dlio_store_exists(store, "a/none", &exists, &err));
    CHECK(exists == 0);
    if (caps->conditional_put) {
        memset(&put, 0, sizeof put);
        put.create_only = 1;
        STATUS(S3DLIO_ERR_ALREADY_EXISTS,
               s3dlio_store_put(store, "a/hello", "x", 1, &put, sizeof put, NULL, 0, &err));
        put.create_only = 0;
        put.if_match = "\"no such tag\"";
        STATUS(S3DLIO_ERR_PRECONDITION_FAILED,
               s3dlio_store_put(store, "a/hello", "x", 1, &put, sizeof put, NULL, 0, &err));
    }
    OK(s3dlio_store_copy(store, "a/hello", "a/copy", &err));
    OK(s3dlio_store_rename(store, "a/copy", "b/moved", &err));
    STATUS(S3DLIO_ERR_NOT_FOUND, s3dlio_store_get(store, "a/copy", &data, &err));
    STATUS(S3DLIO_ERR_NOT_FOUND, s3dlio_store_stat(store, "a/none", &info, sizeof info, NULL, &err));
    OK(s3dlio_store_delete(store, "b/moved", &err));
    OK(s3dlio_store_delete(store, "b/moved", &err));

    /* Whole and part against a checksum, I2. */
    uint32_t right = s3dlio_crc32c(0, "world", 5), wrong = right ^ 1;
    OK(s3dlio_store_validate(store, "a/hello", 6, 5, &right, &err));
    CHECK(s3dlio_store_validate(store, "a/hello", 6, S3DLIO_TO_END, &wrong, &err) ==
          S3DLIO_ERR_CHECKSUM_MISMATCH);
    CHECK(s3dlio_error_detail(err, "expected") != NULL && s3dlio_error_detail(err, "actual") != NULL);
    s3dlio_error_free(err);
    s3dlio_check checks[2] = {{"a/hello", 6, 5, 1, right, 0, 0, NULL}, {"a/none", 0, 5, 1, right, 0, 0, NULL}};
    STATUS(S3DLIO_ERR_NOT_FOUND, s3dlio_store_validate_many(store, checks, 2, &err));
    CHECK(checks[0].status == S3DLIO_OK && checks[0].error == NULL);
    CHECK(checks[1].status == S3DLIO_ERR_NOT_FOUND && checks[1].error != NULL);
    s3dlio_error_free(checks[1].error);

    /* Each of many has its own outcome. */
    s3dlio_put_item items[3] = {{"m/1", "one", 3, 7, 7, NULL}, {"", "two", 3, 7, 7, NULL}, {"m/3", NULL, 0, 7, 7, NULL}};
    STATUS(S3DLIO_ERR_INVALID_KEY, s3dlio_store_put_many(store, items, 3, NULL, 0, &err));
    CHECK(items[0].status == S3DLIO_OK && items[0].crc32c == s3dlio_crc32c(0, "one", 3) && items[0].error == NULL);
    CHECK(items[1].status == S3DLIO_ERR_INVALID_KEY && s3dlio_error_code(items[1].error) == items[1].status);
    CHECK(items[2].status == S3DLIO_OK && items[2].crc32c == 0);
    s3dlio_error_free(items[1].error);
    OK(s3dlio_store_get(store, "m/1", &data, &err));
    CHECK(same(data, "one", 3));
    OK(s3dlio_store_stat(store, "m/3", &info, sizeof info, NULL, &err));
    CHECK(info.size == 0);
    memset(&put, 0, sizeof put);
    put.create_only = 1;
    if (caps->conditional_put) {
        STATUS(S3DLIO_ERR_ALREADY_EXISTS, s3dlio_store_put_many(store, items, 1, &put, sizeof put, &err));
        s3dlio_error_free(items[0].error);
    }
    uint64_t gone;
    OK(s3dlio_store_delete_prefix(store, "m", &gone, &err));
    CHECK(gone == 2);

    const char *keys[3] = {"a/hello", "a/none", "a/hello"};
    s3dlio_get_result results[3];
    STATUS(S3DLIO_ERR_NOT_FOUND, s3dlio_store_get_many(store, keys, 3, results, &err));
    CHECK(same(results[0].data, "hello world", 11) && same(results[2].data, "hello world", 11));
    CHECK(results[0].status == S3DLIO_OK && results[1].data == NULL);
    CHECK(results[1].status == S3DLIO_ERR_NOT_FOUND && s3dlio_error_code(results[1].error) == results[1].status);
    s3dlio_error_free(results[1].error);
}

static int count_list(s3dlio_store *store, const char *prefix, int32_t recursive, char *seen, size_t room) {
    s3dlio_error *err = NULL;
    s3dlio_lister *lister = NULL;
    s3dlio_object_info info;
    int32_t status;
    int n = 0;
    seen[0] = 0;
    OK(s3dlio_store_list(store, prefix, recursive, &lister, &err));
    while ((status = s3dlio_lister_next(lister, &info, sizeof info, &err)) == S3DLIO_OK) {
        n++;
        snprintf(seen + strlen(seen), room - strlen(seen), "%s:%u ", info.key, info.kind);
    }
    STATUS(S3DLIO_END, status);
    STATUS(S3DLIO_END, s3dlio_lister_next(lister, &info, sizeof info, &err));
    s3dlio_lister_free(lister);
    return n;
}

static void lists(const backend *b, s3dlio_store *store) {
    s3dlio_error *err = NULL;
    s3dlio_lister *lister = NULL;
    s3dlio_object_info info;
    uint64_t deleted = 99;
    int found = 0;
    char seen[256];
    const char *keys[] = {"l/1", "l/2/x", "l/2/y", "l10"};
    for (int i = 0; i < 4; i++) OK(s3dlio_store_put(store, keys[i], "x", 1, NULL, 0, NULL, 0, &err));
    CHECK(count_list(store, "l/", 1, seen, sizeof seen) == 3 && strcmp(seen, "l/1:0 l/2/x:0 l/2/y:0 ") == 0);
    CHECK(count_list(store, "l/", 0, seen, sizeof seen) == 2 && strcmp(seen, "l/1:0 l/2/:1 ") == 0);
    CHECK(count_list(store, "nothing", 1, seen, sizeof seen) == 0);
    OK(s3dlio_store_delete_prefix(store, "l", &deleted, &err));
    CHECK(deleted == 3 && count_list(store, "l", 1, seen, sizeof seen) == 1);
    OK(s3dlio_store_delete_prefix(store, "nothing", NULL, &err));
    const char *name = strrchr(b->root, '/') + 1;
    OK(s3dlio_store_list_containers(store, &lister, &err));
    while (s3dlio_lister_next(lister, &info, sizeof info, &err) == S3DLIO_OK) {
        found += info.kind == S3DLIO_KIND_CONTAINER && strcmp(info.key, name) == 0 && strcmp(info.uri, b->root) == 0;
    }
    CHECK(found == 1);
    s3dlio_lister_free(lister);
}

static void streams(s3dlio_store *store, const char *compression) {
    s3dlio_error *err = NULL;
    s3dlio_writer *writer = NULL;
    s3dlio_reader *reader = NULL;
    s3dlio_buffer *buffer = NULL;
    s3dlio_write_stats stats;
    s3dlio_object_info info;
    size_t size = 11 * MIB + 7, n = 0, capacity = 0;
    unsigned char *data = malloc(size), *back = calloc(1, size + 1);
    void *room = NULL;
    int zstd = strcmp(compression, "zstd") == 0;
    const char *const pairs[] = {"writer.compression", compression, "transfer.part_size", "5MiB", NULL};
    s3dlio_options *options = options_of(pairs);
    fill(data, size, 1);
    uint32_t crc = s3dlio_crc32c(0, data, size);

    OK(s3dlio_writer_open(store, "stream", options, NULL, 0, &writer, &err));
    CHECK(strcmp(s3dlio_writer_key(writer), zstd ? "stream.zst" : "stream") == 0);
    OK(s3dlio_writer_write(writer, data, MIB, &err));
    OK(s3dlio_writer_write(writer, NULL, 0, &err));
    OK(s3dlio_buffer_new(6 * MIB, &buffer, &err));
    memcpy(s3dlio_buffer_data(buffer), data + MIB, 6 * MIB);
    OK(s3dlio_writer_write_buffer(writer, buffer, &err));
    CHECK(s3dlio_buffer_size(buffer) == 0);
    for (size_t at = 7 * MIB; at < size; at += n) {
        OK(s3dlio_writer_reserve(writer, 1000, &room, &capacity, &err));
        n = size - at < capacity ? size - at : capacity;
        CHECK(capacity >= 1000);
        memcpy(room, data + at, n);
        OK(s3dlio_writer_commit(writer, n, &err));
    }
    OK(s3dlio_writer_get_stats(writer, &stats, sizeof stats, &err));
    CHECK(stats.bytes == size && stats.finished == 0 && stats.etag[0] == 0);
    int32_t exists = 1;
    OK(s3dlio_store_exists(store, s3dlio_writer_key(writer), &exists, &err));
    CHECK(exists == 0);
    OK(s3dlio_writer_finish(writer, &stats, sizeof stats, &err));
    CHECK(stats.bytes == size && stats.finished == 1 && stats.crc32c == crc);
    CHECK(zstd ? stats.stored_bytes != size : stats.stored_bytes == size && stats.stored_crc32c == crc);
    STATUS(S3DLIO_ERR_INVALID_STATE, s3dlio_writer_write(writer, "x", 1, &err));
    STATUS(S3DLIO_ERR_INVALID_STATE, s3dlio_writer_finish(writer, NULL, 0, &err));
    OK(s3dlio_writer_get_stats(writer, &stats, sizeof stats, &err));
    CHECK(stats.bytes == size && stats.finished == 1);

    OK(s3dlio_reader_open(store, s3dlio_writer_key(writer), NULL, &reader, &err));
    OK(s3dlio_reader_info(reader, &info, sizeof info, &err));
    CHECK(strcmp(info.key, s3dlio_writer_key(writer)) == 0 && info.size == stats.stored_bytes);
    s3dlio_writer_free(writer);
    OK(s3dlio_reader_expect_crc32c(reader, crc, &err));
    size_t at = 0;
    int32_t status;
    while ((status = s3dlio_reader_read(reader, back + at, size + 1 - at, &n, &err)) == S3DLIO_OK) at += n;
    STATUS(S3DLIO_END, status);
    CHECK(at == size && n == 0 && memcmp(back, data, size) == 0);
    if (!zstd) {
        uint64_t length = 0, position = 0;
        OK(s3dlio_reader_size(reader, &length, &err));
        CHECK(length == size);
        OK(s3dlio_reader_read_at(reader, size - 3, back, 10, &n, &err));
        CHECK(n == 3 && memcmp(back, data + size - 3, 3) == 0);
        OK(s3dlio_reader_read_at(reader, size, back, 10, &n, &err));
        CHECK(n == 0);
        STATUS(S3DLIO_ERR_RANGE, s3dlio_reader_read_at(reader, size + 1, back, 10, &n, &err));
        s3dlio_range ranges[2] = {{5 * MIB - 2, 4, back, 0}, {0, 3, back + 4, 0}};
        OK(s3dlio_reader_readv_at(reader, ranges, 2, &err));
        CHECK(memcmp(back, data + 5 * MIB - 2, 4) == 0 && memcmp(back + 4, data, 3) == 0);
        OK(s3dlio_reader_seek(reader, -5, S3DLIO_SEEK_END, &position, &err));
        CHECK(position == size - 5);
        OK(s3dlio_reader_read(reader, back, 2, &n, &err));
        CHECK(n >= 1 && n <= 2 && memcmp(back, data + size - 5, n) == 0);
        OK(s3dlio_reader_seek(reader, 0, S3DLIO_SEEK_CUR, &position, &err));
        CHECK(position == size - 5 + n);
        OK(s3dlio_reader_seek(reader, 1, S3DLIO_SEEK_SET, NULL, &err));
        OK(s3dlio_reader_read(reader, back, 0, &n, &err));
        CHECK(n == 0);
        s3dlio_reader_free(reader);
        /* A wrong checksum shows at the end. */
        OK(s3dlio_reader_open(store, "stream", NULL, &reader, &err));
        OK(s3dlio_reader_expect_crc32c(reader, crc ^ 1, &err));
        while ((status = s3dlio_reader_read(reader, back, size, &n, &err)) == S3DLIO_OK) {
        }
        STATUS(S3DLIO_ERR_CHECKSUM_MISMATCH, status);
    } else {
        STATUS(S3DLIO_ERR_UNSUPPORTED, s3dlio_reader_read_at(reader, 0, back, 1, &n, &err));
    }
    s3dlio_reader_free(reader);
    s3dlio_options_free(options);

    /* W3: abort, and free without finish, leave nothing. */
    for (int how = 0; how < 2; how++) {
        OK(s3dlio_writer_open(store, "gone", NULL, NULL, 0, &writer, &err));
        OK(s3dlio_writer_write(writer, data, 6 * MIB, &err));
        if (how == 0) {
            OK(s3dlio_writer_abort(writer, &err));
            OK(s3dlio_writer_abort(writer, &err));
            STATUS(S3DLIO_ERR_INVALID_STATE, s3dlio_writer_finish(writer, NULL, 0, &err));
        }
        s3dlio_writer_free(writer);
        OK(s3dlio_store_exists(store, "gone", &exists, &err));
        CHECK(exists == 0);
    }
    free(data);
    free(back);
}

static void oneshot(const backend *b) {
    s3dlio_error *err = NULL;
    s3dlio_buffer *data = NULL, *strings = NULL;
    s3dlio_object_info info;
    int32_t exists = -1;
    char uri[256];
    snprintf(uri, sizeof uri, "%s/one/shot", b->root);
    OK(s3dlio_put(uri, b->options, "abc", 3, &err));
    OK(s3dlio_get(uri, b->options, &data, &err));
    CHECK(same(data, "abc", 3));
    OK(s3dlio_stat(uri, b->options, &info, sizeof info, &strings, &err));
    CHECK(info.size == 3 && strcmp(info.uri, uri) == 0);
    s3dlio_buffer_free(strings);
    OK(s3dlio_delete(uri, b->options, &err));
    OK(s3dlio_exists(uri, b->options, &exists, &err));
    CHECK(exists == 0);
}

static void backend_round_trip(const backend *b) {
    s3dlio_error *err = NULL;
    s3dlio_capabilities caps;
    s3dlio_store *store = open_backend(b);
    CHECK(strcmp(s3dlio_store_uri(store), b->root) == 0);
    OK(s3dlio_store_capabilities(store, &caps, sizeof caps, &err));
    CHECK(caps.max_parts > 0 && caps.max_part_size >= caps.min_part_size && caps.alignment > 0);
    OK(s3dlio_store_create_container(store, &err));
    STATUS(S3DLIO_ERR_ALREADY_EXISTS, s3dlio_store_create_container(store, &err));
    objects(b, store, &caps);
    lists(b, store);
    streams(store, "none");
    streams(store, "zstd");
    oneshot(b);
    STATUS(S3DLIO_ERR_NOT_EMPTY, s3dlio_store_delete_container(store, &err));
    OK(s3dlio_store_delete_prefix(store, "", NULL, &err));
    OK(s3dlio_store_delete_container(store, &err));
    s3dlio_store_free(store);
    s3dlio_options_free(b->options);
}

/* D and the log: a line in a file, a callback that ends when it is taken away. */
static atomic_int logged;
static void count_log(int32_t level, const char *target, const char *message, void *user) {
    s3dlio_error *err = NULL;
    CHECK(level >= 1 && level <= 5 && strncmp(target, "s3dlio", 6) == 0 && message != NULL);
    STATUS(S3DLIO_ERR_INVALID_STATE, s3dlio_log_to_fd(-1, NULL, &err));
    atomic_fetch_add((atomic_int *)user, 1);
}

static void logs(const char *folder) {
    s3dlio_error *err = NULL;
    char path[128], line[400] = "";
    snprintf(path, sizeof path, "%s/log", folder);
    FILE *file = fopen(path, "w+");
    setenv("S3DLIO_NO_SUCH_OPTION", "1", 1); /* an unknown variable is a warning */
    OK(s3dlio_log_to_fd(fileno(file), "warn", &err));
    OK(s3dlio_log_to_fd(-1, NULL, &err));
    rewind(file);
    CHECK(fgets(line, sizeof line, file) != NULL && strstr(line, "S3DLIO_NO_SUCH_OPTION") != NULL);
    CHECK(strstr(line, "WARN s3dlio") != NULL);
    fclose(file);
    OK(s3dlio_log_set_callback(count_log, &logged, "trace", &err));
    s3dlio_store *store = NULL;
    OK(s3dlio_store_open("memory://logs", NULL, &store, &err));
    s3dlio_store_free(store);
    OK(s3dlio_log_set_callback(NULL, NULL, NULL, &err));
}

int main(void) {
    watchdog();
    char folder[64];
    backend all[8];
    s3dlio_error *err = NULL;
    s3dlio_stats stats;
    temporary_folder(folder);
    library();
    options();
    buffers();
    int n = backends(all, folder, "basic");
    for (int i = 0; i < n; i++) backend_round_trip(&all[i]);
    logs(folder);
    OK(s3dlio_get_stats(&stats, sizeof stats, &err));
    CHECK(stats.handles == 0);
    OK(s3dlio_shutdown(10000, &err));
    remove_folder(folder);
    return summary("basic");
}
