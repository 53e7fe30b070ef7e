/* Formats (F1): records, indexes, arrays and archives there and back, and every documented error. */
#include "test.h"

static void records(void) {
    s3dlio_error *err = NULL;
    unsigned char file[200];
    size_t written = 0, size = 0, count = 0;
    const char *const texts[] = {"", "a", "hello world"};
    for (int i = 0; i < 3; i++) {
        OK(s3dlio_tfrecord_append(texts[i], strlen(texts[i]), file + size, sizeof file - size, &written, &err));
        CHECK(written == strlen(texts[i]) + 16);
        size += written;
    }
    s3dlio_extent found[4] = {{0, 0}};
    OK(s3dlio_tfrecord_parse(file, size, found, 4, &count, &err));
    CHECK(count == 3 && found[0].offset == 12 && found[0].length == 0 && found[3].length == 0);
    CHECK(found[2].length == 11 && memcmp(file + found[2].offset, "hello world", 11) == 0);
    found[1].length = 99;
    OK(s3dlio_tfrecord_parse(file, size, found, 1, &count, &err));
    CHECK(count == 3 && found[1].length == 99); /* no more than there is room for */
    OK(s3dlio_tfrecord_parse(NULL, 0, NULL, 0, &count, &err));
    CHECK(count == 0);
    for (int32_t kind = S3DLIO_INDEX_PAIRS; kind <= S3DLIO_INDEX_TEXT; kind++) {
        s3dlio_buffer *index = NULL;
        OK(s3dlio_tfrecord_index(file, size, kind, &index, &err));
        CHECK(s3dlio_buffer_size(index) == (kind == S3DLIO_INDEX_PAIRS ? 48 : strlen("0 16\n16 17\n33 27\n")));
        OK(s3dlio_tfrecord_index_parse(s3dlio_buffer_data(index), s3dlio_buffer_size(index), size, found, 4, &count, &err));
        CHECK(count == 3 && found[2].offset == 33 && found[2].length == 27);
        STATUS(S3DLIO_ERR_CORRUPT, s3dlio_tfrecord_index_parse(s3dlio_buffer_data(index), s3dlio_buffer_size(index), size + 1,
                                                               found, 4, &count, &err));
        s3dlio_buffer_free(index);
    }
    s3dlio_buffer *none = NULL;
    STATUS(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_tfrecord_index(file, size, 2, &none, &err));
    CHECK(s3dlio_tfrecord_append("abc", 3, file, 18, &written, &err) == S3DLIO_ERR_BUFFER_TOO_SMALL);
    CHECK(strcmp(s3dlio_error_detail(err, "required"), "19") == 0);
    s3dlio_error_free(err);
    err = NULL;
    STATUS(S3DLIO_ERR_TRUNCATED, s3dlio_tfrecord_parse(file, size - 1, found, 4, &count, &err));
    file[30] ^= 1;
    CHECK(s3dlio_tfrecord_parse(file, size, found, 4, &count, &err) == S3DLIO_ERR_CHECKSUM_MISMATCH);
    CHECK(strcmp(s3dlio_error_detail(err, "offset"), "28") == 0);
    s3dlio_error_free(err);
    err = NULL;
    STATUS(S3DLIO_ERR_CHECKSUM_MISMATCH, s3dlio_tfrecord_index(file, size, S3DLIO_INDEX_PAIRS, &none, &err));
    CHECK(none == NULL);
}

static void arrays(void) {
    s3dlio_error *err = NULL;
    s3dlio_buffer *head = NULL;
    s3dlio_npy_info info;
    const uint64_t shape[2] = {3, 2};
    OK(s3dlio_npy_head("<f4", 1, shape, 2, &head, &err));
    const size_t length = s3dlio_buffer_size(head);
    CHECK(length % 64 == 0);
    OK(s3dlio_npy_parse(s3dlio_buffer_data(head), length, length + 24, &info, sizeof info, &err));
    CHECK(strcmp(info.descr, "<f4") == 0 && info.fortran_order == 1 && info.ndim == 2 && info.shape[0] == 3);
    CHECK(info.shape[1] == 2 && info.data_offset == length && info.data_length == 24);
    CHECK(s3dlio_npy_parse(s3dlio_buffer_data(head), 20, length + 24, &info, sizeof info, &err) == S3DLIO_ERR_BUFFER_TOO_SMALL);
    CHECK((size_t)atoi(s3dlio_error_detail(err, "required")) == length);
    s3dlio_error_free(err);
    err = NULL;
    STATUS(S3DLIO_ERR_TRUNCATED, s3dlio_npy_parse(s3dlio_buffer_data(head), length, length + 23, &info, sizeof info, &err));
    STATUS(S3DLIO_ERR_CORRUPT, s3dlio_npy_parse("no array here", 13, 13, &info, sizeof info, &err));
    s3dlio_buffer_free(head);
    head = NULL;
    STATUS(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_npy_head("BF16", 0, shape, 2, &head, &err));
    STATUS(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_npy_head("<f4", 0, NULL, 2, &head, &err));
    OK(s3dlio_npy_head("F64", 0, NULL, 0, &head, &err)); /* a single value */
    s3dlio_buffer_free(head);
}

static void archives(void) {
    s3dlio_error *err = NULL;
    const uint64_t shape[1] = {6};
    const float numbers[6] = {1, 2, 3, 4, 5, 6};
    s3dlio_array given[2] = {{.name = "x", .descr = "<f4", .shape = shape, .ndim = 1, .data = numbers, .length = 24},
                             {.name = "label", .descr = "U8", .data = "7", .length = 1}};
    s3dlio_buffer *file = NULL, *owner = NULL, *one = NULL;
    OK(s3dlio_npz_write(given, 2, &file, &err));
    unsigned char *bytes = s3dlio_buffer_data(file);
    const size_t size = s3dlio_buffer_size(file);
    const s3dlio_npz_member *members = NULL;
    size_t count = 0;
    /* It asks for as many of the last bytes as it needs, first for its own end, then for the whole directory. */
    size_t tail = 30;
    int tries = 0;
    while (s3dlio_npz_list(bytes + size - tail, tail, size, &members, &count, &owner, &err) == S3DLIO_ERR_BUFFER_TOO_SMALL) {
        const size_t required = (size_t)atoi(s3dlio_error_detail(err, "required"));
        s3dlio_error_free(err);
        err = NULL;
        if (!CHECK(required > tail && required < size) || ++tries == 10) return;
        tail = required;
    }
    CHECK(err == NULL && tries > 0 && tries <= 3);
    CHECK(count == 2 && strcmp(members[0].name, "x.npy") == 0 && strcmp(members[1].name, "label.npy") == 0);
    OK(s3dlio_npz_unpack(&members[0], bytes + members[0].offset, members[0].length, &one, &err));
    s3dlio_npy_info info;
    OK(s3dlio_npy_parse(s3dlio_buffer_data(one), s3dlio_buffer_size(one), members[0].size, &info, sizeof info, &err));
    CHECK(memcmp((char *)s3dlio_buffer_data(one) + info.data_offset, numbers, 24) == 0);
    s3dlio_buffer_free(one);
    one = NULL;
    s3dlio_npz_member lie = members[0];
    lie.size += 1;
    STATUS(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_npz_unpack(&lie, bytes, size, &one, &err));
    STATUS(S3DLIO_ERR_TRUNCATED, s3dlio_npz_unpack(&members[0], bytes, members[0].packed, &one, &err));
    STATUS(S3DLIO_ERR_CORRUPT, s3dlio_npz_unpack(&members[0], bytes + 1, size - 1, &one, &err));
    bytes[members[0].packed] ^= 1;
    STATUS(S3DLIO_ERR_CHECKSUM_MISMATCH, s3dlio_npz_unpack(&members[0], bytes, size, &one, &err));
    CHECK(one == NULL);
    s3dlio_buffer_free(owner);
    s3dlio_buffer_free(file);
    file = NULL;
    OK(s3dlio_hdf5_write(given, 2, &file, &err));
    CHECK(memcmp(s3dlio_buffer_data(file), "\x89HDF\r\n\x1a\n", 8) == 0);
    s3dlio_buffer_free(file);
    file = NULL;
    given[1].length = 2;
    STATUS(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_npz_write(given, 2, &file, &err));
    STATUS(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_hdf5_write(given, 2, &file, &err));
    given[1] = given[0];
    STATUS(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_npz_write(given, 2, &file, &err));
    CHECK(file == NULL);
}

static void tars(void) {
    s3dlio_error *err = NULL;
    unsigned char file[4096];
    size_t written = 0, size = 0;
    memset(file, 0x5a, sizeof file);
    OK(s3dlio_tar_append("dir/a.txt", "hello", 5, file, sizeof file, &written, &err));
    CHECK(written == 1024 && memcmp(file, "dir/a.txt", 10) == 0 && memcmp(file + 257, "ustar", 6) == 0);
    CHECK(memcmp(file + 512, "hello", 6) == 0 && file[1023] == 0 && file[1024] == 0x5a);
    size = written;
    OK(s3dlio_tar_append(NULL, NULL, 0, file + size, sizeof file - size, &written, &err));
    CHECK(written == 1024 && file[size] == 0 && file[size + 1023] == 0);
    STATUS(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_tar_append("", "x", 1, file, sizeof file, &written, &err));
    STATUS(S3DLIO_ERR_INVALID_ARGUMENT, s3dlio_tar_append(NULL, "x", 1, file, sizeof file, &written, &err));
    CHECK(s3dlio_tar_append("a", "x", 1, file, 1023, &written, &err) == S3DLIO_ERR_BUFFER_TOO_SMALL);
    CHECK(strcmp(s3dlio_error_detail(err, "required"), "1024") == 0);
    s3dlio_error_free(err);
}

int main(void) {
    watchdog();
    tars();
    records();
    arrays();
    archives();
    return summary("formats");
}
