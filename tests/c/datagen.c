/* Synthetic data (F2) through the C interface: the same bytes by any slice and number of threads, other bytes for
 * other objects and seeds, ratios that hold, many callers at once, forked children, and every documented error. */
#include "test.h"

enum { LENGTH = 6 << 20, BLOCK = 4096 };

static s3dlio_generate_params params_of(uint64_t seed, double dedupe, double compress) {
    return (s3dlio_generate_params){.seed = seed, .dedupe = dedupe, .compress = compress};
}

static unsigned char *made(const s3dlio_generate_params *params, uint64_t object, uint64_t offset, size_t length) {
    s3dlio_error *err = NULL;
    unsigned char *memory = malloc(length + 1);
    memory[length] = 0xEE;
    OK(s3dlio_generate(params, params ? sizeof *params : 0, object, offset, memory, length, &err));
    CHECK(memory[length] == 0xEE);
    return memory;
}

static void slices_and_threads(void) {
    s3dlio_generate_params params = params_of(7, 2.5, 1.5);
    unsigned char *whole = made(&params, 3, 0, LENGTH);
    for (uint32_t threads = 1; threads <= 4; threads++) {
        params.threads = threads;
        unsigned char *other = made(&params, 3, 0, LENGTH);
        CHECK(memcmp(whole, other, LENGTH) == 0);
        free(other);
    }
    static const size_t slices[][2] = {{0, 1}, {1, 4095}, {4095, 2}, {BLOCK, BLOCK}, {LENGTH - 5, 5}, {12345, 54321}, {9, 0}};
    for (size_t i = 0; i < sizeof slices / sizeof slices[0]; i++) {
        unsigned char *slice = made(&params, 3, slices[i][0], slices[i][1]);
        CHECK(memcmp(whole + slices[i][0], slice, slices[i][1]) == 0);
        free(slice);
    }
    free(whole);
}

static int compare(const void *a, const void *b) { return memcmp(a, b, BLOCK); }

/* How many different blocks there are; changes their order. */
static size_t contents(unsigned char *memory, size_t blocks) {
    qsort(memory, blocks, BLOCK, compare);
    size_t different = blocks > 0;
    for (size_t i = 1; i < blocks; i++) different += memcmp(memory + (i - 1) * BLOCK, memory + i * BLOCK, BLOCK) != 0;
    return different;
}

static void ratios(void) {
    const size_t blocks = LENGTH / BLOCK;
    s3dlio_generate_params params = params_of(7, 0, 0);
    unsigned char *plain = made(&params, 0, 0, LENGTH);
    unsigned char *defaults = made(NULL, 0, 0, BLOCK);
    CHECK(memcmp(plain, defaults, BLOCK) != 0); /* seed 7 is not seed 0 */
    CHECK(contents(plain, blocks) == blocks);
    params.dedupe = 4;
    unsigned char *repeated = made(&params, 0, 0, LENGTH);
    size_t different = contents(repeated, blocks);
    CHECK(different >= blocks / 4 - 1 && different <= blocks / 4 + 1);
    params = params_of(7, 0, 4);
    unsigned char *thin = made(&params, 0, 0, LENGTH);
    size_t zeros = 0;
    for (size_t i = 0; i < LENGTH; i++) zeros += thin[i] == 0;
    CHECK(zeros > LENGTH / 100 * 74 && zeros < LENGTH / 100 * 77);
    free(plain), free(defaults), free(repeated), free(thin);
}

static void objects_and_seeds(void) {
    enum { EACH = 64 };
    unsigned char *all = malloc(9 * EACH * BLOCK), *at = all;
    for (uint64_t seed = 0; seed < 3; seed++) {
        for (uint64_t object = 0; object < 3; object++, at += EACH * BLOCK) {
            s3dlio_generate_params params = params_of(seed, 1, 8);
            unsigned char *one = made(&params, object, 0, EACH * BLOCK);
            memcpy(at, one, EACH * BLOCK);
            free(one);
        }
    }
    CHECK(contents(all, 9 * EACH) == 9 * EACH);
    free(all);
}

static unsigned char *expected;

static void *many(void *object) {
    repeating = 1;
    for (int i = 0; i < repeat(20); i++) {
        unsigned char *memory = made(NULL, (uint64_t)(intptr_t)object, 0, LENGTH);
        if ((intptr_t)object == 5) CHECK(memcmp(memory, expected, LENGTH) == 0);
        free(memory);
    }
    return NULL;
}

/* Many callers at once, and a child that was forked while they are at it. */
static void callers_and_children(void) {
    pthread_t threads[4];
    expected = made(NULL, 5, 0, LENGTH);
    for (intptr_t i = 0; i < 4; i++) CHECK(pthread_create(&threads[i], NULL, many, (void *)(5 + i % 2)) == 0);
    pid_t child = fork();
    if (child == 0) {
        unsigned char *memory = malloc(LENGTH);
        int32_t status = s3dlio_generate(NULL, 0, 5, 0, memory, LENGTH, NULL);
        _exit(status == S3DLIO_OK && memcmp(memory, expected, LENGTH) == 0 ? 0 : 1);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    for (int i = 0; i < 4; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    free(expected);
}

static void refused(s3dlio_generate_params params, const char *what) {
    s3dlio_error *err = NULL;
    char memory[1];
    CHECK(s3dlio_generate(&params, sizeof params, 0, 0, memory, 1, &err) == S3DLIO_ERR_INVALID_ARGUMENT);
    const char *message = s3dlio_error_message(err);
    check_(message && strstr(message, what), __FILE__, __LINE__, what, message);
    s3dlio_error_free(err);
}

/* Objects of every format, by what their first bytes and sizes say; their readers have them in loader.c and Rust. */
static void whole_objects(void) {
    s3dlio_error *err = NULL;
    s3dlio_generate_params params = params_of(9, 0, 0);
    const uint64_t shape[] = {3, 5};
    s3dlio_generate_object_params object = {.count = 4, .record_size = 1000, .ndim = 2, .shape = shape, .dtype = "F32", .name = "x"};
    unsigned char *payload = made(&params, 6, 0, 4000);
    static const struct {
        int32_t format;
        size_t size, at;
        const char *magic;
    } kinds[] = {
        {S3DLIO_FORMAT_OBJECTS, 4000, 0, NULL}, {S3DLIO_FORMAT_RAW, 4000, 0, NULL},
        {S3DLIO_FORMAT_FIXED, 4000, 0, NULL},   {S3DLIO_FORMAT_TFRECORD, 4064, 12, NULL},
        {S3DLIO_FORMAT_TAR, 7168, 512, NULL},   {S3DLIO_FORMAT_NPZ, 0, 0, "PK\003\004"},
        {S3DLIO_FORMAT_HDF5, 0, 0, "\211HDF\r\n\032\n"},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        s3dlio_buffer *data = NULL;
        object.format = kinds[i].format;
        OK(s3dlio_generate_object(&params, sizeof params, &object, sizeof object, 6, &data, &err));
        const unsigned char *bytes = s3dlio_buffer_data(data);
        size_t size = s3dlio_buffer_size(data);
        if (kinds[i].magic) {
            CHECK(size > 240 && memcmp(bytes, kinds[i].magic, 4) == 0);
            CHECK(memmem(bytes, size, payload, 240) != NULL);
        } else {
            CHECK(size == kinds[i].size && memcmp(bytes + kinds[i].at, payload, 1000) == 0);
        }
        s3dlio_buffer_free(data);
    }
    free(payload);
    s3dlio_buffer *none = NULL;
    object.format = 7;
    STATUS(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_generate_object(NULL, 0, &object, sizeof object, 6, &none, &err));
    object.format = S3DLIO_FORMAT_NPZ, object.dtype = "BF16";
    STATUS(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_generate_object(NULL, 0, &object, sizeof object, 6, &none, &err));
    object.dtype = "U8", object.shape = NULL;
    STATUS(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_generate_object(NULL, 0, &object, sizeof object, 6, &none, &err));
    object.shape = shape, object.count = UINT64_MAX / 2;
    STATUS(S3DLIO_ERR_OUT_OF_MEMORY, s3dlio_generate_object(NULL, 0, &object, sizeof object, 6, &none, &err));
    object.format = S3DLIO_FORMAT_RAW, object.record_size = 0;
    STATUS(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_generate_object(NULL, 0, &object, sizeof object, 6, &none, &err));
    STATUS(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_generate_object(NULL, 0, NULL, 0, 6, &none, &err));
    object.record_size = 10, object.count = 1;
    STATUS(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_generate_object(NULL, 0, &object, sizeof object, 6, NULL, &err));
    CHECK(none == NULL);
}

static void errors(void) {
    s3dlio_error *err = NULL;
    char memory[16] = "as it was";
    s3dlio_generate_params params = params_of(0, 0, 0);
    refused(params_of(0, 0.5, 0), "dedupe is 0.5");
    refused(params_of(0, 1001, 0), "dedupe is 1001");
    refused(params_of(0, -1, 0), "dedupe is -1");
    refused(params_of(0, 0, 51), "compress is 51");
    params.block_size = 1000;
    refused(params, "block_size is 1000");
    params = params_of(0, 0, 0), params.threads = 100000;
    refused(params, "threads is 100000");
    params = params_of(0, 0, 0);
    STATUS(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_generate(NULL, 0, 0, UINT64_MAX, memory, 10, &err));
    STATUS(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_generate(NULL, 0, 0, 0, NULL, 10, &err));
    STATUS(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_generate(NULL, 0, 0, 0, memory, SIZE_MAX, &err));
    STATUS(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_generate(&params, 0, 0, 0, memory, 10, &err));
    CHECK(strcmp(memory, "as it was") == 0);
    OK(s3dlio_generate(&params, sizeof params, 0, 0, NULL, 0, &err));
    CHECK(s3dlio_generate(NULL, 0, 0, 0, memory, 10, NULL) == S3DLIO_OK);
}

int main(void) {
    watchdog();
    slices_and_threads();
    ratios();
    objects_and_seeds();
    callers_and_children();
    whole_objects();
    errors();
    return summary("datagen");
}
