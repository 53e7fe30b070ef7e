/* What a program can get wrong: each is the documented error, never a crash, and no credential shows in
 * any message or log line. Needs the test servers for what only a server can refuse. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>

#define CANARY "canary7f3a"

/* The error of a call, looked at: its code, and no secret in it. */
#define BAD(expected, call)                                                                                   \
    do {                                                                                                      \
        int32_t got_ = (call);                                                                                \
        const char *message_ = s3dlio_error_message(err);                                                     \
        check_(got_ == (expected), __FILE__, __LINE__, #call, message_ ? message_ : "no error");              \
        CHECK(message_ != NULL && strstr(message_, CANARY) == NULL);                                          \
        for (size_t i_ = 0; i_ < s3dlio_error_detail_count(err); i_++) {                                      \
            const char *value_ = NULL;                                                                        \
            s3dlio_error_detail_at(err, i_, NULL, &value_);                                                   \
            CHECK(strstr(value_, CANARY) == NULL);                                                            \
        }                                                                                                     \
        s3dlio_error_free(err);                                                                               \
        err = NULL;                                                                                           \
    } while (0)

static s3dlio_error *err;
static s3dlio_store *store;
static s3dlio_buffer *data;

static void uris_and_options(void) {
    static const char *const uris[] = {"", "bucket/key", "gs://b/k", "s3:/b", "file://relative", "az://", "s3:///key",
                                       "memory://", "://x", "s3://bu cket/k", "file:relative", "S3DLIO"};
    for (size_t i = 0; i < sizeof uris / sizeof uris[0]; i++) {
        BAD(S3DLIO_ERR_INVALID_URI, s3dlio_store_open(uris[i], NULL, &store, &err));
        BAD(S3DLIO_ERR_INVALID_URI, s3dlio_get(uris[i], NULL, &data, &err));
    }
    BAD(S3DLIO_ERR_INVALID_URI, s3dlio_store_open("s3://user:" CANARY "@host/key", NULL, &store, &err));
    BAD(S3DLIO_ERR_INVALID_URI, s3dlio_get("memory://name", NULL, &data, &err));
    BAD(S3DLIO_ERR_INVALID_URI, s3dlio_get("s3://bucket/", NULL, &data, &err));
    s3dlio_options *options = NULL;
    s3dlio_options_new(&options, &err);
    BAD(S3DLIO_ERR_UNKNOWN_OPTION, s3dlio_options_set(options, "s3.endpont", "x", &err));
    BAD(S3DLIO_ERR_UNKNOWN_OPTION, s3dlio_options_set(options, "", "x", &err));
    BAD(S3DLIO_ERR_INVALID_OPTION, s3dlio_options_set(options, "transfer.part_size", "1", &err));
    BAD(S3DLIO_ERR_INVALID_OPTION, s3dlio_options_set(options, "transfer.part_size", "-5", &err));
    BAD(S3DLIO_ERR_INVALID_OPTION, s3dlio_options_set(options, "writer.compression_level", "23", &err));
    BAD(S3DLIO_ERR_INVALID_OPTION, s3dlio_options_set_u64(options, "writer.compression_level", UINT64_MAX, &err));
    s3dlio_options_free(options);
    setenv("S3DLIO_COMPRESSION_LEVEL", "high", 1);
    BAD(S3DLIO_ERR_INVALID_OPTION, s3dlio_store_open("memory://x", NULL, &store, &err));
    unsetenv("S3DLIO_COMPRESSION_LEVEL");
}

static void one_store(const char *root, int is_path) {
    unsigned char memory[8];
    size_t n = 0;
    s3dlio_object_info info;
    s3dlio_reader *reader = NULL;
    s3dlio_writer *writer = NULL;
    s3dlio_lister *lister = NULL;
    uint64_t position = 0;
    char key[1100];
    OK(s3dlio_store_open(root, NULL, &store, &err));
    /* Nothing was written yet: there is no container. */
    OK(s3dlio_store_list(store, "", 1, &lister, &err));
    BAD(S3DLIO_ERR_CONTAINER_NOT_FOUND, s3dlio_lister_next(lister, &info, sizeof info, &err));
    s3dlio_lister_free(lister);
    OK(s3dlio_store_put(store, "k", "0123456789", 10, NULL, 0, NULL, 0, &err));
    BAD(S3DLIO_ERR_NOT_FOUND, s3dlio_store_get(store, "none", &data, &err));
    BAD(S3DLIO_ERR_NOT_FOUND, s3dlio_reader_open(store, "none", NULL, &reader, &err));
    BAD(S3DLIO_ERR_NOT_FOUND, s3dlio_store_copy(store, "none", "x", &err));
    BAD(S3DLIO_ERR_NOT_FOUND, s3dlio_store_rename(store, "none", "x", &err));
    memset(key, 'k', sizeof key);
    key[1025] = 0;
    const char *const keys[] = {"", key, "..", "../x", "a/../../x", "/etc/passwd", "a//b", "a/", "./a"};
    for (int i = 0; i < (is_path ? 9 : 2); i++) {
        BAD(S3DLIO_ERR_INVALID_KEY, s3dlio_store_get(store, keys[i], &data, &err));
        BAD(S3DLIO_ERR_INVALID_KEY, s3dlio_store_put(store, keys[i], "x", 1, NULL, 0, NULL, 0, &err));
        BAD(S3DLIO_ERR_INVALID_KEY, s3dlio_writer_open(store, keys[i], NULL, NULL, 0, &writer, &err));
        BAD(S3DLIO_ERR_INVALID_KEY, s3dlio_store_delete(store, keys[i], &err));
        BAD(S3DLIO_ERR_INVALID_KEY, s3dlio_store_rename(store, "k", keys[i], &err));
    }
    BAD(S3DLIO_ERR_RANGE, s3dlio_store_get_range(store, "k", 11, 1, &data, &err));
    BAD(S3DLIO_ERR_RANGE, s3dlio_store_get_range(store, "k", UINT64_MAX - 1, 5, &data, &err));
    BAD(S3DLIO_ERR_RANGE, s3dlio_store_get_range_into(store, "k", UINT64_MAX, memory, 8, &n, &err));
    BAD(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_store_get_range_into(store, "k", 0, memory, SIZE_MAX, &n, &err));
    OK(s3dlio_reader_open(store, "k", NULL, &reader, &err));
    BAD(S3DLIO_ERR_RANGE, s3dlio_reader_read_at(reader, 11, memory, 1, &n, &err));
    BAD(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_reader_seek(reader, -11, S3DLIO_SEEK_END, &position, &err));
    BAD(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_reader_seek(reader, -1, S3DLIO_SEEK_SET, &position, &err));
    OK(s3dlio_store_put(store, "k", "replaced!!", 10, NULL, 0, NULL, 0, &err));
    BAD(S3DLIO_ERR_CHANGED, s3dlio_reader_read_at(reader, 0, memory, 8, &n, &err));
    s3dlio_reader_free(reader);
    OK(s3dlio_writer_open(store, "w", NULL, NULL, 0, &writer, &err));
    BAD(S3DLIO_ERR_INVALID_STATE, s3dlio_writer_commit(writer, 1, &err));
    OK(s3dlio_writer_finish(writer, NULL, 0, &err));
    BAD(S3DLIO_ERR_INVALID_STATE, s3dlio_writer_write(writer, "x", 1, &err));
    BAD(S3DLIO_ERR_INVALID_STATE, s3dlio_writer_finish(writer, NULL, 0, &err));
    BAD(S3DLIO_ERR_INVALID_STATE, s3dlio_writer_abort(writer, &err));
    s3dlio_writer_free(writer);

    /* A .zst that was cut, and one that never was one. */
    const char *const pairs[] = {"writer.compression", "zstd", NULL};
    s3dlio_options *options = options_of(pairs);
    unsigned char plain[100000], back[100001];
    fill(plain, sizeof plain, 5);
    OK(s3dlio_writer_open(store, "z", options, NULL, 0, &writer, &err));
    OK(s3dlio_writer_write(writer, plain, sizeof plain, &err));
    OK(s3dlio_writer_finish(writer, NULL, 0, &err));
    s3dlio_writer_free(writer);
    s3dlio_options_free(options);
    OK(s3dlio_store_get(store, "z.zst", &data, &err));
    OK(s3dlio_store_put(store, "cut.zst", s3dlio_buffer_data(data), s3dlio_buffer_size(data) / 2, NULL, 0, NULL,
                        0, &err));
    s3dlio_buffer_free(data);
    OK(s3dlio_store_put(store, "not.zst", "this is no zstd frame", 21, NULL, 0, NULL, 0, &err));
    for (int i = 0; i < 2; i++) {
        int32_t status;
        OK(s3dlio_reader_open(store, i ? "not.zst" : "cut.zst", NULL, &reader, &err));
        while ((status = s3dlio_reader_read(reader, back, sizeof back, &n, &err)) == S3DLIO_OK) {
        }
        BAD(i ? S3DLIO_ERR_CORRUPT : S3DLIO_ERR_TRUNCATED, status);
        s3dlio_reader_free(reader);
    }
    s3dlio_store_free(store);
}

/* As a user who may not read it; root may read everything, so a child gives its rights up. */
static void unreadable_folder(const char *folder) {
    char path[128], uri[160];
    int status = -1;
    snprintf(path, sizeof path, "%s/closed", folder);
    snprintf(uri, sizeof uri, "file://%s", path);
    CHECK(chmod(folder, 0755) == 0 && mkdir(path, 0755) == 0);
    OK(s3dlio_store_open(uri, NULL, &store, &err));
    OK(s3dlio_store_put(store, "k", "x", 1, NULL, 0, NULL, 0, &err));
    s3dlio_store_free(store);
    CHECK(chmod(path, 0700) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        s3dlio_lister *lister = NULL;
        s3dlio_object_info info;
        int32_t exists = -1;
        alarm(30);
        if (geteuid() == 0) CHECK(setgid(65534) == 0 && setuid(65534) == 0);
        else CHECK(chmod(path, 0) == 0);
        OK(s3dlio_store_open(uri, NULL, &store, &err));
        BAD(S3DLIO_ERR_PERMISSION_DENIED, s3dlio_store_get(store, "k", &data, &err));
        BAD(S3DLIO_ERR_PERMISSION_DENIED, s3dlio_store_exists(store, "k", &exists, &err));
        BAD(S3DLIO_ERR_PERMISSION_DENIED, s3dlio_store_put(store, "n", "x", 1, NULL, 0, NULL, 0, &err));
        OK(s3dlio_store_list(store, "", 1, &lister, &err));
        BAD(S3DLIO_ERR_PERMISSION_DENIED, s3dlio_lister_next(lister, &info, sizeof info, &err));
        _exit(atomic_load(&failed) != 0);
    }
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    chmod(path, 0700);
}

static void put_and_get_fail(const char *uri, const char *const *pairs, int32_t expected) {
    s3dlio_options *options = options_of(pairs);
    OK(s3dlio_store_open(uri, options, &store, &err));
    BAD(expected, s3dlio_store_get(store, "k", &data, &err));
    BAD(expected, s3dlio_store_put(store, "k", "x", 1, NULL, 0, NULL, 0, &err));
    s3dlio_store_free(store);
    s3dlio_options_free(options);
}

static void servers(void) {
    const char *s3 = server("S3DLIO_TEST_SEAWEED"), *azure = server("S3DLIO_TEST_AZURITE");
    /* The key is well-formed base64 and wrong; the canary is in it as text. */
#define S3(endpoint, secret)                                                                                  \
    "s3.endpoint", endpoint, "s3.region", "us-east-1", "s3.access_key_id", "s3dliotest",                       \
        "s3.secret_access_key", secret, "net.max_attempts", "2", NULL
    const char *const refused[] = {S3("http://127.0.0.1:1", CANARY)};
    const char *const unresolved[] = {S3("http://no-such-host.invalid", CANARY)};
    put_and_get_fail("s3://bucket", refused, S3DLIO_ERR_CONNECTION);
    put_and_get_fail("s3://bucket", unresolved, S3DLIO_ERR_DNS);
    const char *const azure_refused[] = {"azure.endpoint", "http://127.0.0.1:1/acct", "azure.account_key",
                                         CANARY "AAAA==", "net.max_attempts", "2", NULL};
    put_and_get_fail("az://acct/container", azure_refused, S3DLIO_ERR_CONNECTION);
    if (s3 != NULL) {
        const char *const right[] = {S3(s3, "s3dliotestsecret")};
        const char *const wrong[] = {S3(s3, CANARY)};
        put_and_get_fail("s3://no-such-bucket-here", right, S3DLIO_ERR_CONTAINER_NOT_FOUND);
        s3dlio_options *options = options_of(wrong);
        OK(s3dlio_store_open("s3://bucket", options, &store, &err));
        int32_t status = s3dlio_store_get(store, "k", &data, &err);
        BAD(status == S3DLIO_ERR_UNAUTHENTICATED ? status : S3DLIO_ERR_PERMISSION_DENIED, status);
        s3dlio_store_free(store);
        s3dlio_options_free(options);
    }
    if (azure != NULL) {
        const char *const right[] = {"azure.endpoint", azure, "azure.account_key", AZURITE_KEY, NULL};
        const char *const wrong[] = {"azure.endpoint", azure, "azure.account_key", CANARY "AAAA==", NULL};
        put_and_get_fail("az://devstoreaccount1/no-such-container", right, S3DLIO_ERR_CONTAINER_NOT_FOUND);
        s3dlio_options *options = options_of(wrong);
        OK(s3dlio_store_open("az://devstoreaccount1/container", options, &store, &err));
        int32_t status = s3dlio_store_get(store, "k", &data, &err);
        BAD(status == S3DLIO_ERR_UNAUTHENTICATED ? status : S3DLIO_ERR_PERMISSION_DENIED, status);
        s3dlio_store_free(store);
        s3dlio_options_free(options);
    }
}

int main(void) {
    char folder[64], root[128], path[128], line[4096];
    watchdog();
    temporary_folder(folder);
    snprintf(path, sizeof path, "%s/log", folder);
    FILE *log = fopen(path, "w+");
    OK(s3dlio_log_to_fd(fileno(log), "trace", &err));
    uris_and_options();
    one_store("memory://bad-input", 0);
    snprintf(root, sizeof root, "file://%s/file", folder);
    one_store(root, 1);
    snprintf(root, sizeof root, "direct://%s/direct", folder);
    one_store(root, 1);
    unreadable_folder(folder);
    servers();
    OK(s3dlio_log_to_fd(-1, NULL, &err));
    rewind(log);
    while (fgets(line, sizeof line, log) != NULL) CHECK(strstr(line, CANARY) == NULL);
    fclose(log);
    remove_folder(folder);
    return summary("bad_input");
}
