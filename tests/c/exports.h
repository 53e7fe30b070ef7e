/* Every export once, with a way to call it on any handle: what abuse.c and panic.c are driven by.
 * run.sh compares the names with what the library exports. */
#ifndef EXPORTS_H
#define EXPORTS_H

#include "test.h"

enum handle_type {
    NONE, ERROR, BUFFER, OPTIONS, STORE, LISTER, READER, WRITER, QUEUE, OP, SAVE, SHARD, CHECKPOINT, DATASET, LOADER, BATCH, HANDLE_TYPES
};

/* How a function tells of a bad handle: a status, 0 or NULL, or nothing. NULLABLE: a status, but NULL
 * is a good handle. */
enum result_type { STATUS_, NULLABLE, VALUE, FREE };

static void no_log(int32_t level, const char *target, const char *message, void *user) {
    (void)level, (void)target, (void)message, (void)user;
}

#define EXPORTS(X)                                                                                           \
    X(s3dlio_abi_version, NONE, VALUE, ())                                                                   \
    X(s3dlio_version, NONE, VALUE, ())                                                                       \
    X(s3dlio_has_feature, NONE, VALUE, ("memory"))                                                           \
    X(s3dlio_status_name, NONE, VALUE, (0))                                                                  \
    X(s3dlio_status_doc, NONE, VALUE, (0))                                                                   \
    X(s3dlio_shutdown, NONE, STATUS_, (5000, err))                                                           \
    X(s3dlio_log_to_fd, NONE, STATUS_, (-1, NULL, err))                                                      \
    X(s3dlio_log_set_callback, NONE, STATUS_, (no_log, NULL, "error", err))                                  \
    X(s3dlio_oplog_start, NONE, STATUS_, ("/dev/null", NULL, err))                                           \
    X(s3dlio_oplog_stop, NONE, STATUS_, (NULL, NULL, err))                                                   \
    X(s3dlio_profile_start, NONE, STATUS_, (0, err))                                                         \
    X(s3dlio_profile_stop, NONE, STATUS_, (NULL, err))                                                       \
    X(s3dlio_stats_json, NONE, STATUS_, (&s->buffer, err))                                                   \
    X(s3dlio_stats_prometheus, NONE, STATUS_, (&s->buffer, err))                                             \
    X(s3dlio_crc32c, NONE, VALUE, (0, "x", 1))                                                               \
    X(s3dlio_crc32c_combine, NONE, VALUE, (1, 2, 3))                                                         \
    X(s3dlio_get_stats, NONE, STATUS_, (&s->stats, sizeof s->stats, err))                                    \
    X(s3dlio_error_code, ERROR, VALUE, (h))                                                                  \
    X(s3dlio_error_message, ERROR, VALUE, (h))                                                               \
    X(s3dlio_error_retryable, ERROR, VALUE, (h))                                                             \
    X(s3dlio_error_http_status, ERROR, VALUE, (h))                                                           \
    X(s3dlio_error_os_errno, ERROR, VALUE, (h))                                                              \
    X(s3dlio_error_detail_count, ERROR, VALUE, (h))                                                          \
    X(s3dlio_error_detail_at, ERROR, STATUS_, (h, 0, &s->text, &s->text))                                    \
    X(s3dlio_error_detail, ERROR, VALUE, (h, "operation"))                                                   \
    X(s3dlio_error_free, ERROR, FREE, (h))                                                                   \
    X(s3dlio_buffer_new, NONE, STATUS_, (10, &s->buffer, err))                                               \
    X(s3dlio_buffer_data, BUFFER, VALUE, (h))                                                                \
    X(s3dlio_buffer_size, BUFFER, VALUE, (h))                                                                \
    X(s3dlio_buffer_clone, BUFFER, STATUS_, (h, &s->buffer, err))                                            \
    X(s3dlio_buffer_free, BUFFER, FREE, (h))                                                                 \
    X(s3dlio_options_new, NONE, STATUS_, (&s->options, err))                                                 \
    X(s3dlio_options_set, OPTIONS, STATUS_, (h, "s3.region", "here", err))                                   \
    X(s3dlio_options_set_u64, OPTIONS, STATUS_, (h, "net.max_attempts", 3, err))                             \
    X(s3dlio_options_get, OPTIONS, NULLABLE, (h, "s3.region", &s->buffer, err))                              \
    X(s3dlio_options_clone, OPTIONS, STATUS_, (h, &s->options, err))                                         \
    X(s3dlio_options_free, OPTIONS, FREE, (h))                                                               \
    X(s3dlio_option_count, NONE, VALUE, ())                                                                  \
    X(s3dlio_option_at, NONE, STATUS_, (0, &s->option, sizeof s->option, err))                               \
    X(s3dlio_store_open, NONE, STATUS_, ("memory://exports", NULL, &s->store, err))                          \
    X(s3dlio_store_uri, STORE, VALUE, (h))                                                                   \
    X(s3dlio_store_capabilities, STORE, STATUS_, (h, &s->caps, sizeof s->caps, err))                         \
    X(s3dlio_store_get, STORE, STATUS_, (h, "key", &s->buffer, err))                                         \
    X(s3dlio_store_get_range, STORE, STATUS_, (h, "key", 0, 1, &s->buffer, err))                             \
    X(s3dlio_store_get_into, STORE, STATUS_, (h, "key", s->memory, sizeof s->memory, &s->size, err))         \
    X(s3dlio_store_get_range_into, STORE, STATUS_, (h, "key", 0, s->memory, 1, &s->size, err))               \
    X(s3dlio_store_get_ranges, STORE, STATUS_, (h, "key", &s->range, 1, err))                                \
    X(s3dlio_store_get_many, STORE, STATUS_, (h, s->keys, 1, &s->got, err))                                  \
    X(s3dlio_store_put_many, STORE, STATUS_, (h, &s->item, 1, NULL, 0, err))                                 \
    X(s3dlio_store_put, STORE, STATUS_, (h, "key", "x", 1, NULL, 0, NULL, 0, err))                           \
    X(s3dlio_store_stat, STORE, STATUS_, (h, "key", &s->info, sizeof s->info, &s->buffer, err))              \
    X(s3dlio_store_exists, STORE, STATUS_, (h, "key", &s->flag, err))                                        \
    X(s3dlio_store_delete, STORE, STATUS_, (h, "none", err))                                                 \
    X(s3dlio_store_delete_prefix, STORE, STATUS_, (h, "none", &s->number, err))                              \
    X(s3dlio_store_copy, STORE, STATUS_, (h, "key", "copy", err))                                            \
    X(s3dlio_store_rename, STORE, STATUS_, (h, "copy", "moved", err))                                        \
    X(s3dlio_store_create_container, STORE, STATUS_, (h, err))                                               \
    X(s3dlio_store_delete_container, STORE, STATUS_, (h, err))                                               \
    X(s3dlio_store_list, STORE, STATUS_, (h, "", 1, &s->lister, err))                                        \
    X(s3dlio_store_list_containers, STORE, STATUS_, (h, &s->lister, err))                                    \
    X(s3dlio_store_validate, STORE, STATUS_, (h, "key", 0, S3DLIO_TO_END, NULL, err))                        \
    X(s3dlio_store_validate_many, STORE, STATUS_, (h, &s->check, 1, err))                                    \
    X(s3dlio_store_free, STORE, FREE, (h))                                                                   \
    X(s3dlio_get, NONE, STATUS_, ("memory://exports/key", NULL, &s->buffer, err))                            \
    X(s3dlio_put, NONE, STATUS_, ("memory://exports/key", NULL, "x", 1, err))                                \
    X(s3dlio_stat, NONE, STATUS_, ("memory://exports/key", NULL, &s->info, sizeof s->info, NULL, err))       \
    X(s3dlio_exists, NONE, STATUS_, ("memory://exports/key", NULL, &s->flag, err))                           \
    X(s3dlio_delete, NONE, STATUS_, ("memory://exports/none", NULL, err))                                    \
    X(s3dlio_lister_next, LISTER, STATUS_, (h, &s->info, sizeof s->info, err))                               \
    X(s3dlio_lister_free, LISTER, FREE, (h))                                                                 \
    X(s3dlio_reader_open, STORE, STATUS_, (h, "key", NULL, &s->reader, err))                                 \
    X(s3dlio_reader_size, READER, STATUS_, (h, &s->number, err))                                             \
    X(s3dlio_reader_info, READER, STATUS_, (h, &s->info, sizeof s->info, err))                               \
    X(s3dlio_reader_read_at, READER, STATUS_, (h, 0, s->memory, 1, &s->size, err))                           \
    X(s3dlio_reader_readv_at, READER, STATUS_, (h, &s->range, 1, err))                                       \
    X(s3dlio_reader_read, READER, STATUS_, (h, s->memory, 1, &s->size, err))                                 \
    X(s3dlio_reader_seek, READER, STATUS_, (h, 0, S3DLIO_SEEK_SET, &s->number, err))                         \
    X(s3dlio_reader_expect_crc32c, READER, STATUS_, (h, 0, err))                                             \
    X(s3dlio_reader_free, READER, FREE, (h))                                                                 \
    X(s3dlio_writer_open, STORE, STATUS_, (h, "written", NULL, NULL, 0, &s->writer, err))                    \
    X(s3dlio_writer_key, WRITER, VALUE, (h))                                                                 \
    X(s3dlio_writer_write, WRITER, STATUS_, (h, "x", 1, err))                                                \
    X(s3dlio_writer_write_buffer, WRITER, STATUS_, (h, spare_buffer(), err))                                 \
    X(s3dlio_writer_reserve, WRITER, STATUS_, (h, 1, &s->pointer, &s->size, err))                            \
    X(s3dlio_writer_commit, WRITER, STATUS_, (h, 0, err))                                                    \
    X(s3dlio_writer_finish, WRITER, STATUS_, (h, NULL, 0, err))                                              \
    X(s3dlio_writer_abort, WRITER, STATUS_, (h, err))                                                        \
    X(s3dlio_writer_get_stats, WRITER, STATUS_, (h, &s->written, sizeof s->written, err))                    \
    X(s3dlio_writer_free, WRITER, FREE, (h))                                                                 \
    X(s3dlio_queue_new, NONE, STATUS_, (&s->queue, err))                                                     \
    X(s3dlio_queue_fd, QUEUE, STATUS_, (h, &s->flag, err))                                                   \
    X(s3dlio_queue_next, QUEUE, STATUS_, (h, 0, &s->event, sizeof s->event, err))                            \
    X(s3dlio_queue_close, QUEUE, STATUS_, (h, 0, err))                                                       \
    X(s3dlio_queue_free, QUEUE, FREE, (h))                                                                   \
    X(s3dlio_op_cancel, OP, STATUS_, (h, err))                                                               \
    X(s3dlio_op_progress, OP, STATUS_, (h, &s->number, &s->number, err))                                     \
    X(s3dlio_op_free, OP, FREE, (h))                                                                         \
    X(s3dlio_store_get_submit, STORE, STATUS_, (h, "key", shared_queue, 1, &s->op, err))                     \
    X(s3dlio_store_get_range_submit, STORE, STATUS_, (h, "key", 0, 1, shared_queue, 2, &s->op, err))         \
    X(s3dlio_store_get_into_submit, STORE, STATUS_,                                                          \
      (h, "key", lent_memory, sizeof lent_memory, shared_queue, 3, &s->op, err))                             \
    X(s3dlio_store_get_range_into_submit, STORE, STATUS_,                                                    \
      (h, "key", 0, lent_memory, 1, shared_queue, 4, &s->op, err))                                           \
    X(s3dlio_store_put_submit, STORE, STATUS_, (h, "key", "x", 1, NULL, 0, shared_queue, 5, &s->op, err))    \
    X(s3dlio_store_stat_submit, STORE, STATUS_, (h, "key", shared_queue, 6, &s->op, err))                    \
    X(s3dlio_store_delete_submit, STORE, STATUS_, (h, "none", shared_queue, 7, &s->op, err))                 \
    X(s3dlio_lister_page_submit, LISTER, STATUS_, (h, shared_queue, 8, &s->op, err))                         \
    X(s3dlio_reader_open_submit, STORE, STATUS_, (h, "key", NULL, shared_queue, 9, &s->op, err))             \
    X(s3dlio_reader_read_at_submit, READER, STATUS_, (h, 0, lent_memory, 1, shared_queue, 10, &s->op, err))  \
    X(s3dlio_reader_read_submit, READER, STATUS_, (h, lent_memory, 1, shared_queue, 11, &s->op, err))        \
    X(s3dlio_writer_write_submit, WRITER, STATUS_, (h, "x", 1, shared_queue, 12, &s->op, err))               \
    X(s3dlio_writer_finish_submit, WRITER, STATUS_, (h, shared_queue, 13, &s->op, err))                      \
    X(s3dlio_writer_abort_submit, WRITER, STATUS_, (h, shared_queue, 14, &s->op, err))                       \
    X(s3dlio_world_detect, NONE, STATUS_, (&s->world, sizeof s->world, err))                                 \
    X(s3dlio_checkpoint_writer_open, STORE, STATUS_,                                                         \
      (h, NULL, &s->params, sizeof s->params, &s->save, err))                                                \
    X(s3dlio_checkpoint_writer_id, SAVE, VALUE, (h))                                                         \
    X(s3dlio_checkpoint_writer_put_tensors, SAVE, STATUS_, (h, "put", &s->tensor, 1, err))                   \
    X(s3dlio_checkpoint_writer_snapshot_tensors, SAVE, STATUS_, (h, "snapshot", &s->tensor, 1, err))         \
    X(s3dlio_checkpoint_writer_snapshot_buffers, SAVE, STATUS_, (h, "buffers", NULL, NULL, 0, err))          \
    X(s3dlio_checkpoint_writer_put_bytes, SAVE, STATUS_, (h, "bytes", "x", 1, err))                          \
    X(s3dlio_checkpoint_writer_open_shard, SAVE, STATUS_, (h, "stream", NULL, 0, &s->shard, err))            \
    X(s3dlio_checkpoint_writer_finish, SAVE, STATUS_, (h, err))                                              \
    X(s3dlio_checkpoint_writer_commit, SAVE, STATUS_, (h, err))                                              \
    X(s3dlio_checkpoint_writer_abort, SAVE, STATUS_, (h, err))                                               \
    X(s3dlio_checkpoint_writer_free, SAVE, FREE, (h))                                                        \
    X(s3dlio_checkpoint_shard_write, SHARD, STATUS_, (h, "x", 1, err))                                       \
    X(s3dlio_checkpoint_shard_reserve, SHARD, STATUS_, (h, 1, &s->pointer, &s->size, err))                   \
    X(s3dlio_checkpoint_shard_commit, SHARD, STATUS_, (h, 0, err))                                           \
    X(s3dlio_checkpoint_shard_finish, SHARD, STATUS_, (h, NULL, 0, err))                                     \
    X(s3dlio_checkpoint_shard_free, SHARD, FREE, (h))                                                        \
    X(s3dlio_checkpoint_open, STORE, STATUS_, (h, NULL, S3DLIO_LATEST, &s->checkpoint, err))                 \
    X(s3dlio_checkpoint_open_id, STORE, STATUS_,                                                             \
      (h, NULL, "000000000001-0123456789abcdef", &s->checkpoint, err))                                       \
    X(s3dlio_checkpoint_get_info, CHECKPOINT, STATUS_, (h, &s->about, sizeof s->about, err))                 \
    X(s3dlio_checkpoint_metadata, CHECKPOINT, STATUS_, (h, 0, &s->text, &s->text, err))                      \
    X(s3dlio_checkpoint_entry, CHECKPOINT, STATUS_, (h, 0, &s->entry, sizeof s->entry, err))                 \
    X(s3dlio_checkpoint_find, CHECKPOINT, STATUS_, (h, "w", &s->size, err))                                  \
    X(s3dlio_checkpoint_shard_info, CHECKPOINT, STATUS_, (h, 0, &s->stored, sizeof s->stored, err))          \
    X(s3dlio_checkpoint_load, CHECKPOINT, STATUS_, (h, &s->request, 1, err))                                 \
    X(s3dlio_checkpoint_read_shard, CHECKPOINT, STATUS_, (h, 0, NULL, &s->buffer, err))                      \
    X(s3dlio_checkpoint_validate, CHECKPOINT, STATUS_, (h, 1, err))                                          \
    X(s3dlio_checkpoint_free, CHECKPOINT, FREE, (h))                                                         \
    X(s3dlio_checkpoint_list, STORE, STATUS_, (h, &s->number, 1, &s->size, err))                             \
    X(s3dlio_checkpoint_delete, STORE, STATUS_, (h, 7, err))                                                 \
    X(s3dlio_checkpoint_prune, STORE, STATUS_, (h, 100000, 0, &s->size, err))                                \
    X(s3dlio_checkpoint_collect, STORE, STATUS_, (h, UINT64_MAX, &s->size, err))                             \
    X(s3dlio_checkpoint_writer_finish_submit, SAVE, STATUS_, (h, shared_queue, 15, &s->op, err))             \
    X(s3dlio_checkpoint_writer_commit_submit, SAVE, STATUS_, (h, shared_queue, 16, &s->op, err))             \
    X(s3dlio_checkpoint_load_submit, CHECKPOINT, STATUS_,                                                    \
      (h, &lent_request, 1, shared_queue, 17, &s->op, err))                                                  \
    X(s3dlio_dataset_open, NONE, STATUS_, ("memory://exports", NULL, 0, NULL, &s->dataset, err))             \
    X(s3dlio_dataset_open_uris, NONE, STATUS_, (one_uri, 1, NULL, 0, NULL, &s->dataset, err))                \
    X(s3dlio_dataset_open_manifest, NONE, STATUS_, (manifest_path(), NULL, 0, NULL, &s->dataset, err))       \
    X(s3dlio_dataset_write_manifest, NONE, STATUS_,                                                          \
      ("memory://exports", NULL, 0, NULL, manifest_path(), &s->number, err))                                 \
    X(s3dlio_dataset_length, DATASET, STATUS_, (h, &s->number, err))                                         \
    X(s3dlio_dataset_index, DATASET, STATUS_, (h, &s->dataset, err))                                         \
    X(s3dlio_dataset_get_many, DATASET, STATUS_, (h, &s->position, 1, &s->batch, err))                       \
    X(s3dlio_dataset_free, DATASET, FREE, (h))                                                               \
    X(s3dlio_loader_open, DATASET, STATUS_, (h, NULL, 0, NULL, &s->loader, err))                             \
    X(s3dlio_loader_next, LOADER, STATUS_, (h, &s->batch, err))                                              \
    X(s3dlio_loader_next_submit, LOADER, STATUS_, (h, shared_queue, 18, &s->op, err))                        \
    X(s3dlio_loader_state, LOADER, STATUS_, (h, &s->buffer, err))                                            \
    X(s3dlio_loader_merge_states, NONE, STATUS_, (one_uri, 1, &s->buffer, err))                              \
    X(s3dlio_loader_get_stats, LOADER, STATUS_, (h, &s->loaded, sizeof s->loaded, err))                      \
    X(s3dlio_loader_free, LOADER, FREE, (h))                                                                 \
    X(s3dlio_batch_count, BATCH, VALUE, (h))                                                                 \
    X(s3dlio_batch_samples, BATCH, VALUE, (h))                                                               \
    X(s3dlio_batch_gather, BATCH, STATUS_, (h, 0, s->memory, sizeof s->memory, NULL, err))                   \
    X(s3dlio_batch_free, BATCH, FREE, (h))                                                                   \
    X(s3dlio_generate, NONE, STATUS_, (NULL, 0, 0, 0, lent_memory, sizeof lent_memory, err))                 \
    X(s3dlio_generate_object, NONE, STATUS_, (NULL, 0, &s->object, sizeof s->object, 0, &s->buffer, err))    \
    X(s3dlio_tfrecord_append, NONE, STATUS_, (NULL, 0, s->memory, sizeof s->memory, &s->size, err))          \
    X(s3dlio_tfrecord_parse, NONE, STATUS_, (NULL, 0, NULL, 0, &s->size, err))                               \
    X(s3dlio_tfrecord_index, NONE, STATUS_, (NULL, 0, S3DLIO_INDEX_TEXT, &s->buffer, err))                   \
    X(s3dlio_tfrecord_index_parse, NONE, STATUS_, (NULL, 0, S3DLIO_TO_END, NULL, 0, &s->size, err))          \
    X(s3dlio_tar_append, NONE, STATUS_, (NULL, NULL, 0, archive_end, sizeof archive_end, &s->size, err))     \
    X(s3dlio_npy_head, NONE, STATUS_, ("<f4", 0, one_byte, 1, &s->buffer, err))                              \
    X(s3dlio_npy_parse, NONE, STATUS_, (no_bytes, sizeof no_bytes - 1, sizeof no_bytes - 1, &s->npy, sizeof s->npy, err)) \
    X(s3dlio_npz_write, NONE, STATUS_, (NULL, 0, &s->buffer, err))                                           \
    X(s3dlio_hdf5_write, NONE, STATUS_, (NULL, 0, &s->buffer, err))                                          \
    X(s3dlio_npz_list, NONE, STATUS_, (no_members, 22, 22, &s->member, &s->size, &s->buffer, err))           \
    X(s3dlio_npz_unpack, NONE, STATUS_, (&one_member, one_file, 31, &s->buffer, err))

/* Outputs and memory for one call. A failed call leaves all before `range` as it was. */
typedef struct {
    s3dlio_stats stats;
    s3dlio_option_info option;
    s3dlio_capabilities caps;
    s3dlio_object_info info;
    s3dlio_write_stats written;
    s3dlio_buffer *buffer;
    s3dlio_options *options;
    s3dlio_store *store;
    s3dlio_lister *lister;
    s3dlio_reader *reader;
    s3dlio_writer *writer;
    s3dlio_queue *queue;
    s3dlio_op *op;
    s3dlio_event event;
    s3dlio_world world;
    s3dlio_checkpoint_writer *save;
    s3dlio_checkpoint_shard *shard;
    s3dlio_checkpoint *checkpoint;
    s3dlio_checkpoint_info about;
    s3dlio_entry_info entry;
    s3dlio_shard_info stored;
    s3dlio_dataset *dataset;
    s3dlio_loader *loader;
    s3dlio_batch *batch;
    s3dlio_loader_stats loaded;
    s3dlio_npy_info npy;
    const s3dlio_npz_member *member;
    void *pointer;
    const char *text;
    size_t size;
    uint64_t number;
    int32_t flag;
    unsigned char memory[16];
    s3dlio_range range;
    s3dlio_check check;
    s3dlio_put_item item;
    s3dlio_get_result got;
    const char *keys[1];
    s3dlio_checkpoint_params params;
    s3dlio_tensor tensor;
    s3dlio_tensor_request request;
    s3dlio_generate_object_params object;
    uint64_t position;
} scratch;

/* A step that no save of this process had. */
static inline uint64_t fresh_step(void) {
    static atomic_uint steps = 1000;
    return atomic_fetch_add(&steps, 1);
}

static const uint64_t one_byte[1] = {1};

/* Files without contents: an NPY file, the end of an empty NPZ file, and the head of an empty member "m". */
static const char no_bytes[] = "\x93NUMPY\x01\0\x38\0{'descr': '|u1', 'fortran_order': False, 'shape': (0,)}\n";
static const char no_members[] = "PK\5\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
static const char one_file[] = "PK\3\4\24\0\0\0\0\0\0\0!\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0m";
static unsigned char archive_end[1024];
static const s3dlio_npz_member one_member = {.name = "m", .length = 31};

static inline void prepare(scratch *s) {
    memset(s, 0x5a, sizeof *s);
    memset(&s->range, 0, sizeof *s - offsetof(scratch, range));
    s->range.length = 1;
    s->range.dst = s->memory;
    s->check.key = "key";
    s->check.length = S3DLIO_TO_END;
    s->item.key = "key";
    s->item.data = "x";
    s->item.length = 1;
    s->keys[0] = "key";
    s->params.step = fresh_step();
    s->params.world_size = 1;
    s->tensor = (s3dlio_tensor){.name = "w", .dtype = "U8", .shape = one_byte, .ndim = 1, .data = "x", .length = 1};
    s->object.record_size = 10;
    s->request = (s3dlio_tensor_request){.name = "w", .rank = -1, .data = s->memory, .length = 1};
}

/* Whether no output was written. The results of the calls for many are always set. */
static inline int untouched(const scratch *s) {
    const unsigned char *bytes = (const unsigned char *)s;
    for (size_t i = 0; i < offsetof(scratch, range); i++) {
        if (bytes[i] != 0x5a) return 0;
    }
    return s->range.bytes_read == 0 && s->got.data == NULL;
}

static const char *const one_uri[1] = {"memory://exports/key"};

/* A manifest of one object, of this process alone; gone with it. */
static char manifest_name[80];
static inline void remove_manifest(void) { unlink(manifest_name); }
static inline void make_manifest(void) {
    snprintf(manifest_name, sizeof manifest_name, "/tmp/s3dlio-exports-%ld", (long)getpid());
    FILE *file = fopen(manifest_name, "w");
    if (file == NULL) return;
    fputs("memory://exports/key\n", file);
    fclose(file);
    atexit(remove_manifest);
}
static inline const char *manifest_path(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_manifest);
    return manifest_name;
}

/* For functions that take a buffer beside their handle. */
static s3dlio_buffer *shared_buffer;
static inline s3dlio_buffer *spare_buffer(void) { return shared_buffer; }

/* For submits: a queue, and memory that outlives every operation. What is in it does not matter. */
static s3dlio_queue *shared_queue;
static unsigned char lent_memory[16];
static const s3dlio_tensor_request lent_request = {.name = "w", .rank = -1, .data = lent_memory, .length = 1};

typedef struct {
    const char *name;
    enum handle_type handle;
    enum result_type result;
    /* The status; of a VALUE whether it is 0 or NULL. */
    int32_t (*call)(void *handle, scratch *s, s3dlio_error **err);
} export_entry;

#define CALL_STATUS_(call) return call
#define CALL_NULLABLE(call) return call
#define CALL_VALUE(call) return (call) == 0
#define CALL_FREE(call)                                                                                       \
    call;                                                                                                     \
    return 0
#define DEFINE(name, handle, result, args)                                                                    \
    static int32_t call_##name(void *h, scratch *s, s3dlio_error **err) {                                     \
        (void)h, (void)s, (void)err;                                                                          \
        CALL_##result(name args);                                                                             \
    }
#define ROW(name, handle, result, args) {#name, handle, result, call_##name},

EXPORTS(DEFINE)
static const export_entry exports[] = {EXPORTS(ROW)};
enum { EXPORT_COUNT = sizeof exports / sizeof exports[0] };

/* A checkpoint of the tensor "w" and a save under way with an open shard. */
static inline void live_checkpoints(void *handles[HANDLE_TYPES]) {
    const s3dlio_key_value pair = {"name", "value"};
    s3dlio_checkpoint_params params = {.step = fresh_step(), .world_size = 1, .metadata = &pair, .metadata_count = 1};
    s3dlio_tensor tensor = {.name = "w", .dtype = "U8", .shape = one_byte, .ndim = 1, .data = "x", .length = 1};
    s3dlio_checkpoint_writer *save = NULL;
    s3dlio_checkpoint_writer_open(handles[STORE], NULL, &params, sizeof params, &save, NULL);
    s3dlio_checkpoint_writer_put_tensors(save, NULL, &tensor, 1, NULL);
    s3dlio_checkpoint_writer_commit(save, NULL);
    s3dlio_checkpoint_writer_free(save);
    s3dlio_checkpoint_open(handles[STORE], NULL, params.step, (s3dlio_checkpoint **)&handles[CHECKPOINT], NULL);
    params.step = fresh_step();
    s3dlio_checkpoint_writer_open(handles[STORE], NULL, &params, sizeof params,
                                  (s3dlio_checkpoint_writer **)&handles[SAVE], NULL);
    s3dlio_checkpoint_writer_open_shard(handles[SAVE], "live", NULL, 0, (s3dlio_checkpoint_shard **)&handles[SHARD], NULL);
}

/* One live handle of every type, on a store of one object "key". What cannot be had stays NULL. */
static inline void live_handles(void *handles[HANDLE_TYPES]) {
    memset(handles, 0, HANDLE_TYPES * sizeof handles[0]);
    s3dlio_put("memory://exports/key", NULL, "value", 5, NULL);
    s3dlio_store_open("memory://exports", NULL, (s3dlio_store **)&handles[STORE], NULL);
    s3dlio_store_put(handles[STORE], "key", "value", 5, NULL, 0, NULL, 0, NULL);
    s3dlio_store_open("nonsense", NULL, (s3dlio_store **)&handles[NONE], (s3dlio_error **)&handles[ERROR]);
    if (handles[ERROR] == NULL) s3dlio_options_set(NULL, "", "", (s3dlio_error **)&handles[ERROR]);
    s3dlio_buffer_new(10, (s3dlio_buffer **)&handles[BUFFER], NULL);
    s3dlio_options_new((s3dlio_options **)&handles[OPTIONS], NULL);
    s3dlio_store_list(handles[STORE], "", 1, (s3dlio_lister **)&handles[LISTER], NULL);
    s3dlio_reader_open(handles[STORE], "key", NULL, (s3dlio_reader **)&handles[READER], NULL);
    s3dlio_writer_open(handles[STORE], "w", NULL, NULL, 0, (s3dlio_writer **)&handles[WRITER], NULL);
    s3dlio_queue_new((s3dlio_queue **)&handles[QUEUE], NULL);
    s3dlio_store_stat_submit(handles[STORE], "key", handles[QUEUE], 1, (s3dlio_op **)&handles[OP], NULL);
    live_checkpoints(handles);
    s3dlio_dataset_open_uris(one_uri, 1, NULL, 0, NULL, (s3dlio_dataset **)&handles[DATASET], NULL);
    s3dlio_loader_open(handles[DATASET], NULL, 0, NULL, (s3dlio_loader **)&handles[LOADER], NULL);
    const uint64_t first = 0;
    s3dlio_dataset_get_many(handles[DATASET], &first, 1, (s3dlio_batch **)&handles[BATCH], NULL);
}

static inline void free_handle(enum handle_type type, void *handle) {
    switch (type) {
    case ERROR: s3dlio_error_free(handle); break;
    case BUFFER: s3dlio_buffer_free(handle); break;
    case OPTIONS: s3dlio_options_free(handle); break;
    case STORE: s3dlio_store_free(handle); break;
    case LISTER: s3dlio_lister_free(handle); break;
    case READER: s3dlio_reader_free(handle); break;
    case WRITER: s3dlio_writer_free(handle); break;
    case QUEUE: s3dlio_queue_free(handle); break;
    case OP: s3dlio_op_free(handle); break;
    case SAVE: s3dlio_checkpoint_writer_free(handle); break;
    case SHARD: s3dlio_checkpoint_shard_free(handle); break;
    case CHECKPOINT: s3dlio_checkpoint_free(handle); break;
    case DATASET: s3dlio_dataset_free(handle); break;
    case LOADER: s3dlio_loader_free(handle); break;
    case BATCH: s3dlio_batch_free(handle); break;
    default: break;
    }
}

#endif
