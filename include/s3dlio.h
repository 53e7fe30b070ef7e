/* DRAFT CONTRACT (the ffi helper makes cbindgen generate this, with fuller docs). Signatures are binding. */
#ifndef S3DLIO_H
#define S3DLIO_H
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif
#define S3DLIO_VERSION_MAJOR 0
#define S3DLIO_VERSION_MINOR 1
#define S3DLIO_VERSION_PATCH 0
#define S3DLIO_VERSION_STRING "0.1.0"
#define S3DLIO_ABI_VERSION 0x00010000u /* major<<16|minor: before 1.0 each 0.y is a major */
#define S3DLIO_OK 0
#define S3DLIO_END 1      /* nothing more: lister at its end, sequential reader at the end of the object */
#define S3DLIO_TIMEOUT 2  /* reserved for waits */
/* negative statuses: S3DLIO_ERR_<CODE>, numbers of src/error.rs, e.g. */
#define S3DLIO_ERR_INVALID_ARGUMENT -1
/* ... S3DLIO_ERR_BAD_HANDLE -2 ... S3DLIO_ERR_CORRUPT -62: one per Code, SCREAMING_SNAKE of the variant */
#define S3DLIO_KIND_OBJECT 0u
#define S3DLIO_KIND_PREFIX 1u
#define S3DLIO_KIND_CONTAINER 2u
#define S3DLIO_SEEK_SET 0
#define S3DLIO_SEEK_CUR 1
#define S3DLIO_SEEK_END 2
#define S3DLIO_TO_END UINT64_MAX

typedef struct s3dlio_error s3dlio_error;
typedef struct s3dlio_options s3dlio_options;
typedef struct s3dlio_store s3dlio_store;
typedef struct s3dlio_lister s3dlio_lister;
typedef struct s3dlio_reader s3dlio_reader;
typedef struct s3dlio_writer s3dlio_writer;
typedef struct s3dlio_buffer s3dlio_buffer;

typedef struct { const char *key; const char *value; } s3dlio_key_value; /* never grows */

typedef struct s3dlio_object_info {   /* strings: see the call that fills it */
  uint32_t kind;                /* S3DLIO_KIND_* */
  uint32_t has_crc32c;          /* 1 if crc32c is known */
  uint64_t size;                /* bytes; 0 for prefixes and containers */
  int64_t last_modified_ns;     /* since 1970-01-01 UTC; INT64_MIN if unknown (containers: creation) */
  uint32_t crc32c;              /* of the stored bytes */
  uint32_t reserved;
  const char *key;              /* relative to the store's root; container name for containers */
  const char *uri;              /* full URI */
  const char *etag;             /* NULL if unknown */
  const char *content_type;     /* NULL if unknown */
  const s3dlio_key_value *metadata;
  size_t metadata_count;
} s3dlio_object_info;

typedef struct s3dlio_put_options {   /* all zero = defaults */
  const char *content_type;     /* NULL: none */
  const s3dlio_key_value *metadata;
  size_t metadata_count;
  const char *if_match;         /* NULL: no condition; else replace only the object of this ETag */
  uint32_t create_only;         /* 1: fail with ALREADY_EXISTS where there is an object */
  uint32_t reserved;
} s3dlio_put_options;

typedef struct s3dlio_write_stats {
  uint64_t bytes;               /* plain bytes taken in */
  uint64_t stored_bytes;        /* after compression */
  uint32_t crc32c;              /* of the plain bytes */
  uint32_t stored_crc32c;
  uint32_t parts;
  uint32_t finished;            /* 1 once the object is published */
  char etag[256];               /* "" until finished or if unknown */
} s3dlio_write_stats;           /* also what put returns */

typedef struct s3dlio_capabilities {
  uint64_t min_part_size, max_part_size;
  uint32_t max_parts;
  uint32_t alignment;
  uint32_t conditional_put, metadata, literal_keys, blocking_io;
} s3dlio_capabilities;

typedef struct s3dlio_option_info {  /* static strings */
  const char *key, *type, *default_value, *bounds, *env /* space separated */, *doc;
} s3dlio_option_info;

typedef struct { uint64_t offset; size_t length; void *dst; size_t bytes_read; } s3dlio_range; /* never grows */

typedef struct { s3dlio_buffer *data; s3dlio_error *error; int32_t status; uint32_t reserved; } s3dlio_get_result; /* never grows */

typedef struct {                /* never grows */
  const char *key; uint64_t offset; uint64_t length;  /* S3DLIO_TO_END */
  uint32_t has_crc32c, crc32c;                        /* has_crc32c 0: compare with the stored checksum */
  int32_t status; uint32_t reserved; s3dlio_error *error;  /* out */
} s3dlio_check;

typedef struct s3dlio_stats {
  uint64_t pool_idle_bytes, pool_idle_buffers, direct_fallbacks, handles;
} s3dlio_stats;

/* ---- library: any thread */
uint32_t s3dlio_abi_version(void);
const char *s3dlio_version(void);
int32_t s3dlio_has_feature(const char *name);             /* "s3" "azure" "file" "direct" "memory" "zstd" -> 1, else 0 */
const char *s3dlio_status_name(int32_t status);           /* "not_found"; "unknown" */
const char *s3dlio_status_doc(int32_t status);
int32_t s3dlio_shutdown(uint64_t timeout_ms, s3dlio_error **err);
int32_t s3dlio_log_to_fd(int32_t fd, const char *level, s3dlio_error **err);   /* -1: off; level NULL: option log.level */
typedef void (*s3dlio_log_callback)(int32_t level /*1 error .. 5 trace*/, const char *target, const char *message, void *user);
int32_t s3dlio_log_set_callback(s3dlio_log_callback callback, void *user, const char *level, s3dlio_error **err); /* NULL: off */
uint32_t s3dlio_crc32c(uint32_t crc, const void *data, size_t length);          /* start with 0 */
uint32_t s3dlio_crc32c_combine(uint32_t first, uint32_t second, uint64_t second_length);
int32_t s3dlio_get_stats(s3dlio_stats *stats, size_t stats_size, s3dlio_error **err);
/* ---- error: immutable, any thread. NULL or stale: 0 / NULL */
int32_t s3dlio_error_code(const s3dlio_error *error);
const char *s3dlio_error_message(const s3dlio_error *error);
int32_t s3dlio_error_retryable(const s3dlio_error *error);
int32_t s3dlio_error_http_status(const s3dlio_error *error);
int32_t s3dlio_error_os_errno(const s3dlio_error *error);
size_t s3dlio_error_detail_count(const s3dlio_error *error);
int32_t s3dlio_error_detail_at(const s3dlio_error *error, size_t index, const char **key, const char **value);
const char *s3dlio_error_detail(const s3dlio_error *error, const char *key);    /* operation uri request_id attempts elapsed_ms hint required ...; NULL */
void s3dlio_error_free(s3dlio_error *error);
/* ---- options: one thread at a time */
int32_t s3dlio_options_new(s3dlio_options **options, s3dlio_error **err);
int32_t s3dlio_options_set(s3dlio_options *options, const char *key, const char *value, s3dlio_error **err);
int32_t s3dlio_options_set_u64(s3dlio_options *options, const char *key, uint64_t value, s3dlio_error **err);
int32_t s3dlio_options_get(const s3dlio_options *options /*nullable*/, const char *key, s3dlio_buffer **value /*NUL-terminated text, secrets masked*/, s3dlio_error **err);
int32_t s3dlio_options_clone(const s3dlio_options *options, s3dlio_options **clone, s3dlio_error **err);
void s3dlio_options_free(s3dlio_options *options);
size_t s3dlio_option_count(void);
int32_t s3dlio_option_at(size_t index, s3dlio_option_info *info, size_t info_size, s3dlio_error **err);
/* ---- buffer: reference counted, any thread */
int32_t s3dlio_buffer_new(size_t size, s3dlio_buffer **buffer, s3dlio_error **err);   /* aligned to 4096, zero or old contents */
void *s3dlio_buffer_data(const s3dlio_buffer *buffer);
size_t s3dlio_buffer_size(const s3dlio_buffer *buffer);
int32_t s3dlio_buffer_clone(const s3dlio_buffer *buffer, s3dlio_buffer **clone, s3dlio_error **err);
void s3dlio_buffer_free(s3dlio_buffer *buffer);
/* ---- store: any thread, concurrent */
int32_t s3dlio_store_open(const char *uri, const s3dlio_options *options /*nullable*/, s3dlio_store **store, s3dlio_error **err);
const char *s3dlio_store_uri(const s3dlio_store *store);         /* lives as long as the handle */
int32_t s3dlio_store_capabilities(const s3dlio_store *store, s3dlio_capabilities *caps, size_t caps_size, s3dlio_error **err);
int32_t s3dlio_store_get(const s3dlio_store *store, const char *key, s3dlio_buffer **data, s3dlio_error **err);
int32_t s3dlio_store_get_range(const s3dlio_store *store, const char *key, uint64_t offset, uint64_t length, s3dlio_buffer **data, s3dlio_error **err);
int32_t s3dlio_store_get_into(const s3dlio_store *store, const char *key, void *dst, size_t capacity, size_t *bytes_read, s3dlio_error **err);
int32_t s3dlio_store_get_range_into(const s3dlio_store *store, const char *key, uint64_t offset, void *dst, size_t length, size_t *bytes_read, s3dlio_error **err);
int32_t s3dlio_store_get_ranges(const s3dlio_store *store, const char *key, s3dlio_range *ranges, size_t count, s3dlio_error **err);
int32_t s3dlio_store_get_many(const s3dlio_store *store, const char *const *keys, size_t count, s3dlio_get_result *results, s3dlio_error **err); /* fills results always; returns the first failure's status */
int32_t s3dlio_store_put(const s3dlio_store *store, const char *key, const void *data, size_t length, const s3dlio_put_options *options, size_t options_size, s3dlio_write_stats *stats, size_t stats_size, s3dlio_error **err); /* options, stats nullable */
int32_t s3dlio_store_stat(const s3dlio_store *store, const char *key, s3dlio_object_info *info, size_t info_size, s3dlio_buffer **strings, s3dlio_error **err); /* strings own info's texts; NULL: texts are NULL */
int32_t s3dlio_store_exists(const s3dlio_store *store, const char *key, int32_t *exists, s3dlio_error **err);
int32_t s3dlio_store_delete(const s3dlio_store *store, const char *key, s3dlio_error **err);
int32_t s3dlio_store_delete_prefix(const s3dlio_store *store, const char *prefix, uint64_t *deleted, s3dlio_error **err);
int32_t s3dlio_store_copy(const s3dlio_store *store, const char *from, const char *to, s3dlio_error **err);
int32_t s3dlio_store_rename(const s3dlio_store *store, const char *from, const char *to, s3dlio_error **err);
int32_t s3dlio_store_create_container(const s3dlio_store *store, s3dlio_error **err);
int32_t s3dlio_store_delete_container(const s3dlio_store *store, s3dlio_error **err);
int32_t s3dlio_store_list(const s3dlio_store *store, const char *prefix, int32_t recursive, s3dlio_lister **lister, s3dlio_error **err);
int32_t s3dlio_store_list_containers(const s3dlio_store *store, s3dlio_lister **lister, s3dlio_error **err);
int32_t s3dlio_store_validate(const s3dlio_store *store, const char *key, uint64_t offset, uint64_t length, const uint32_t *crc32c /*NULL: stored*/, s3dlio_error **err);
int32_t s3dlio_store_validate_many(const s3dlio_store *store, s3dlio_check *checks, size_t count, s3dlio_error **err);
void s3dlio_store_free(s3dlio_store *store);
/* ---- one-shot helpers with full URIs; stores are cached by URI root and options; any thread */
int32_t s3dlio_get(const char *uri, const s3dlio_options *options, s3dlio_buffer **data, s3dlio_error **err);
int32_t s3dlio_put(const char *uri, const s3dlio_options *options, const void *data, size_t length, s3dlio_error **err);
int32_t s3dlio_stat(const char *uri, const s3dlio_options *options, s3dlio_object_info *info, size_t info_size, s3dlio_buffer **strings, s3dlio_error **err);
int32_t s3dlio_exists(const char *uri, const s3dlio_options *options, int32_t *exists, s3dlio_error **err);
int32_t s3dlio_delete(const char *uri, const s3dlio_options *options, s3dlio_error **err);
/* ---- lister: one thread at a time */
int32_t s3dlio_lister_next(s3dlio_lister *lister, s3dlio_object_info *info, size_t info_size, s3dlio_error **err); /* OK or END; texts live until the next call or free */
void s3dlio_lister_free(s3dlio_lister *lister);
/* ---- reader: size, info, read_at, readv_at from any threads at once; the others one at a time */
int32_t s3dlio_reader_open(const s3dlio_store *store, const char *key, const s3dlio_options *options /*nullable: the store's*/, s3dlio_reader **reader, s3dlio_error **err);
int32_t s3dlio_reader_size(const s3dlio_reader *reader, uint64_t *size, s3dlio_error **err);  /* plain bytes; UNSUPPORTED where a .zst does not tell */
int32_t s3dlio_reader_info(const s3dlio_reader *reader, s3dlio_object_info *info, size_t info_size, s3dlio_error **err); /* texts live as long as the reader */
int32_t s3dlio_reader_read_at(const s3dlio_reader *reader, uint64_t offset, void *dst, size_t length, size_t *bytes_read, s3dlio_error **err);
int32_t s3dlio_reader_readv_at(const s3dlio_reader *reader, s3dlio_range *ranges, size_t count, s3dlio_error **err);
int32_t s3dlio_reader_read(s3dlio_reader *reader, void *dst, size_t length, size_t *bytes_read, s3dlio_error **err); /* END with 0 bytes at the end */
int32_t s3dlio_reader_seek(s3dlio_reader *reader, int64_t offset, int32_t whence, uint64_t *position, s3dlio_error **err);
int32_t s3dlio_reader_expect_crc32c(s3dlio_reader *reader, uint32_t crc32c, s3dlio_error **err); /* of the plain bytes; checked when a sequential read from 0 reaches the end */
void s3dlio_reader_free(s3dlio_reader *reader);
/* ---- writer: one thread at a time */
int32_t s3dlio_writer_open(const s3dlio_store *store, const char *key, const s3dlio_options *options /*nullable*/, const s3dlio_put_options *put_options, size_t put_options_size, s3dlio_writer **writer, s3dlio_error **err);
const char *s3dlio_writer_key(const s3dlio_writer *writer);      /* with .zst if compressed; lives as long as the handle */
int32_t s3dlio_writer_write(s3dlio_writer *writer, const void *data, size_t length, s3dlio_error **err);
int32_t s3dlio_writer_write_buffer(s3dlio_writer *writer, s3dlio_buffer *buffer, s3dlio_error **err); /* takes the handle over on success, no copy */
int32_t s3dlio_writer_reserve(s3dlio_writer *writer, size_t min_size, void **data, size_t *capacity, s3dlio_error **err);
int32_t s3dlio_writer_commit(s3dlio_writer *writer, size_t length, s3dlio_error **err);
int32_t s3dlio_writer_finish(s3dlio_writer *writer, s3dlio_write_stats *stats, size_t stats_size, s3dlio_error **err); /* stats nullable */
int32_t s3dlio_writer_abort(s3dlio_writer *writer, s3dlio_error **err);
int32_t s3dlio_writer_get_stats(const s3dlio_writer *writer, s3dlio_write_stats *stats, size_t stats_size, s3dlio_error **err);
void s3dlio_writer_free(s3dlio_writer *writer);                  /* without finish: abort, in the background */
#ifdef __cplusplus
}
#endif
#endif
