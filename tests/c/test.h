/* A harness without a framework: checks count, a watchdog ends what hangs, the last line sums up. */
#ifndef TEST_H
#define TEST_H

#include "s3dlio.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

static atomic_int passed, failed;
/* Set where the same checks are repeated: then only failures count. */
static _Thread_local int repeating;

/* One check; says where and what if it fails. */
#define CHECK(condition) check_((condition) != 0, __FILE__, __LINE__, #condition, NULL)

/* One call whose last argument is &err; its status must be this one, its error consistent. */
#define STATUS(expected, call) status_((call), (expected), &err, __FILE__, __LINE__, #call)
#define OK(call) STATUS(S3DLIO_OK, call)

static inline int check_(int good, const char *file, int line, const char *what, const char *detail) {
    if (good) {
        if (!repeating) atomic_fetch_add(&passed, 1);
        return 1;
    }
    atomic_fetch_add(&failed, 1);
    fprintf(stderr, "%s:%d: failed: %s%s%s\n", file, line, what, detail ? ": " : "", detail ? detail : "");
    return 0;
}

static inline int status_(int32_t got, int32_t expected, s3dlio_error **err, const char *file, int line,
                          const char *what) {
    char detail[700];
    const char *message = s3dlio_error_message(*err);
    int good = got == expected && (got < 0) == (*err != NULL) && (got >= 0 || s3dlio_error_code(*err) == got) &&
               (got >= 0 || (message != NULL && message[0] != 0));
    snprintf(detail, sizeof detail, "is %s, should be %s: %s", s3dlio_status_name(got),
             s3dlio_status_name(expected), message ? message : "no message");
    s3dlio_error_free(*err);
    *err = NULL;
    return check_(good, file, line, what, detail);
}

static inline int summary(const char *program) {
    printf("%s: %d passed, %d failed\n", program, atomic_load(&passed), atomic_load(&failed));
    return atomic_load(&failed) != 0;
}

/* How often to repeat what is repeated: less under Valgrind and AddressSanitizer. */
static inline int repeat(int times) { return getenv("S3DLIO_TEST_SLOW") ? times / 10 + 1 : times; }

/* Ends a program that hangs. */
static inline void watchdog(void) { alarm(getenv("S3DLIO_TEST_SLOW") ? 1500 : 300); }

/* A variable that the test servers set; without it there is nothing to test against. */
static inline const char *server(const char *name) {
    const char *value = getenv(name);
    if (value == NULL) {
        fprintf(stderr, "%s is not set; run: python3 tests/support/servers.py run -- tests/c/run.sh\n", name);
        CHECK(!"a test server is missing");
    }
    return value;
}

/* A fresh folder, removed by remove_folder. */
static inline void temporary_folder(char path[64]) {
    const char *base = getenv("TMPDIR");
    snprintf(path, 64, "%.40s/s3dlio-c-XXXXXX", base ? base : "/tmp");
    CHECK(mkdtemp(path) != NULL);
}

static inline void remove_folder(const char *path) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", path);
    CHECK(system(command) == 0);
}

/* A backend to test against; `root` is unique to this process. */
typedef struct {
    char root[160];
    s3dlio_options *options; /* NULL for local ones */
} backend;

static inline s3dlio_options *options_of(const char *const *pairs) {
    s3dlio_error *err = NULL;
    s3dlio_options *options = NULL;
    OK(s3dlio_options_new(&options, &err));
    for (; *pairs != NULL; pairs += 2) {
        OK(s3dlio_options_set(options, pairs[0], pairs[1], &err));
    }
    return options;
}

#define AZURITE_KEY "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

static inline backend seaweed(const char *endpoint, const char *name) {
    const char *const pairs[] = {"s3.endpoint", endpoint, "s3.region", "us-east-1", "s3.access_key_id",
                                 "s3dliotest", "s3.secret_access_key", "s3dliotestsecret", NULL};
    backend b;
    snprintf(b.root, sizeof b.root, "s3://%s-%ld", name, (long)getpid());
    b.options = options_of(pairs);
    return b;
}

static inline backend azurite(const char *endpoint, const char *name) {
    const char *const pairs[] = {"azure.endpoint", endpoint, "azure.account_key", AZURITE_KEY, NULL};
    backend b;
    snprintf(b.root, sizeof b.root, "az://devstoreaccount1/%s-%ld", name, (long)getpid());
    b.options = options_of(pairs);
    return b;
}

static inline backend local(const char *format, const char *name) {
    backend b;
    snprintf(b.root, sizeof b.root, format, name);
    b.options = NULL;
    return b;
}

/* Memory and files, and the servers that are there. */
static inline int backends(backend *out, const char *folder, const char *name) {
    int n = 0;
    out[n++] = local("memory://%s", name);
    out[n++] = local("file://%s/file", folder);
    out[n++] = local("direct://%s/direct", folder);
    if (getenv("S3DLIO_TEST_SEAWEED")) out[n++] = seaweed(getenv("S3DLIO_TEST_SEAWEED"), name);
    if (getenv("S3DLIO_TEST_AZURITE")) out[n++] = azurite(getenv("S3DLIO_TEST_AZURITE"), name);
    return n;
}

static inline s3dlio_store *open_backend(const backend *b) {
    s3dlio_error *err = NULL;
    s3dlio_store *store = NULL;
    OK(s3dlio_store_open(b->root, b->options, &store, &err));
    return store;
}

/* Bytes that depend on their position, so that a shifted copy shows. */
static inline void fill(unsigned char *to, size_t length, uint32_t seed) {
    for (size_t i = 0; i < length; i++) {
        to[i] = (unsigned char)((i * 2654435761u + seed * 40503u) >> 13);
    }
}

#endif
