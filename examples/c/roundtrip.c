/* Stores an object, streams a second one, lists both, reads a range and deletes everything again.
 *
 *     roundtrip [URI]      memory://example unless given; the container must exist (local ones are made)
 */
#include <s3dlio.h>
#include <stdio.h>
#include <string.h>

/* Says what failed, frees the error and gives the exit code. */
static int fail(s3dlio_error *error) {
    fprintf(stderr, "roundtrip: %s\n", s3dlio_error_message(error));
    s3dlio_error_free(error);
    return 1;
}

static int stream(s3dlio_store *store, const char *key, s3dlio_error **error) {
    s3dlio_writer *writer = NULL;
    s3dlio_write_stats stats;
    int32_t status = s3dlio_writer_open(store, key, NULL, NULL, 0, &writer, error);
    int line;
    for (line = 0; status == S3DLIO_OK && line < 1000; line++) {
        char text[32];
        int length = snprintf(text, sizeof text, "line %d\n", line);
        status = s3dlio_writer_write(writer, text, (size_t)length, error);
    }
    if (status == S3DLIO_OK)
        status = s3dlio_writer_finish(writer, &stats, sizeof stats, error);
    if (status == S3DLIO_OK)
        printf("streamed %llu bytes, crc32c:%08x\n", (unsigned long long)stats.bytes, (unsigned)stats.crc32c);
    s3dlio_writer_free(writer); /* without finish it aborts: nothing is published */
    return status;
}

static int list(s3dlio_store *store, const char *prefix, s3dlio_error **error) {
    s3dlio_lister *lister = NULL;
    s3dlio_object_info info;
    int32_t status = s3dlio_store_list(store, prefix, 1, &lister, error);
    while (status == S3DLIO_OK) {
        status = s3dlio_lister_next(lister, &info, sizeof info, error);
        if (status == S3DLIO_OK)
            printf("%s %llu bytes\n", info.uri, (unsigned long long)info.size);
    }
    s3dlio_lister_free(lister);
    return status == S3DLIO_END ? S3DLIO_OK : status;
}

int main(int argc, char **argv) {
    const char *uri = argc > 1 ? argv[1] : "memory://example";
    s3dlio_error *error = NULL;
    s3dlio_store *store = NULL;
    char text[16];
    size_t length = 0;
    uint64_t deleted = 0;

    if (s3dlio_store_open(uri, NULL, &store, &error) != S3DLIO_OK)
        return fail(error);
    if (s3dlio_store_put(store, "roundtrip/hello", "hello, world", 12, NULL, 0, NULL, 0, &error) != S3DLIO_OK ||
        stream(store, "roundtrip/lines", &error) != S3DLIO_OK ||
        list(store, "roundtrip/", &error) != S3DLIO_OK ||
        s3dlio_store_get_range_into(store, "roundtrip/hello", 7, text, sizeof text, &length, &error) != S3DLIO_OK) {
        s3dlio_store_free(store);
        return fail(error);
    }
    printf("bytes 7 to the end: %.*s\n", (int)length, text);
    if (s3dlio_store_delete_prefix(store, "roundtrip", &deleted, &error) != S3DLIO_OK) {
        s3dlio_store_free(store);
        return fail(error);
    }
    printf("deleted %llu objects\n", (unsigned long long)deleted);
    s3dlio_store_free(store);
    return length == 5 && memcmp(text, "world", 5) == 0 ? 0 : 1;
}
