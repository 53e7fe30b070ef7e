"""The C interface as tables: what include/s3dlio.h declares, in ctypes.

Nothing is loaded here, and names are those of C. `tests/python/test_signatures.py` compares every
function, struct and constant with the header, so a difference cannot go unnoticed.
"""

from ctypes import CFUNCTYPE, POINTER as P, Structure
from ctypes import c_char, c_char_p, c_double, c_int32, c_int64, c_size_t, c_uint16, c_uint32, c_uint64, c_void_p

i32, i64, u32, u64, size_t, text, memory = (
    c_int32, c_int64, c_uint32, c_uint64, c_size_t, c_char_p, c_void_p,
)

# ---- constants

S3DLIO_ABI_VERSION = 0x00010000

S3DLIO_OK = 0
S3DLIO_END = 1
S3DLIO_TIMEOUT = 2

S3DLIO_KIND_OBJECT = 0
S3DLIO_KIND_PREFIX = 1
S3DLIO_KIND_CONTAINER = 2

S3DLIO_SEEK_SET = 0
S3DLIO_SEEK_CUR = 1
S3DLIO_SEEK_END = 2

S3DLIO_TO_END = 2**64 - 1

S3DLIO_INDEX_PAIRS = 0
S3DLIO_INDEX_TEXT = 1
S3DLIO_NPY_MAX_AXES = 64

S3DLIO_TENSOR_REPLICATED = 1
S3DLIO_LATEST = 2**64 - 1
S3DLIO_SHARD_SAFETENSORS = 0
S3DLIO_SHARD_BYTES = 1

S3DLIO_FORMAT_OBJECTS = 0
S3DLIO_FORMAT_TAR = 1
S3DLIO_FORMAT_TFRECORD = 2
S3DLIO_FORMAT_NPZ = 3
S3DLIO_FORMAT_FIXED = 4
S3DLIO_FORMAT_HDF5 = 5
S3DLIO_FORMAT_RAW = 6
S3DLIO_UNKNOWN_LENGTH = 2**64 - 1

#: Every negative status with its name: `S3DLIO_ERR_<NAME>` in the header.
ERRORS = {
    -1: "invalid_argument",
    -2: "bad_handle",
    -3: "internal",
    -4: "poisoned",
    -5: "invalid_state",
    -6: "forked",
    -7: "shutdown",
    -8: "would_deadlock",
    -9: "unsupported",
    -10: "cancelled",
    -11: "invalid_uri",
    -12: "invalid_key",
    -13: "unknown_option",
    -14: "invalid_option",
    -20: "not_found",
    -21: "container_not_found",
    -22: "already_exists",
    -23: "precondition_failed",
    -24: "changed",
    -25: "not_empty",
    -26: "range",
    -27: "buffer_too_small",
    -30: "permission_denied",
    -31: "unauthenticated",
    -40: "dns",
    -41: "connection",
    -42: "tls",
    -43: "timeout",
    -44: "unavailable",
    -45: "server",
    -46: "protocol",
    -47: "unknown_outcome",
    -50: "io",
    -51: "no_space",
    -52: "out_of_memory",
    -60: "checksum_mismatch",
    -61: "truncated",
    -62: "corrupt",
}

# ---- handles: opaque, so that ctypes refuses a handle of another type


class s3dlio_error(Structure):
    pass


class s3dlio_options(Structure):
    pass


class s3dlio_store(Structure):
    pass


class s3dlio_lister(Structure):
    pass


class s3dlio_reader(Structure):
    pass


class s3dlio_writer(Structure):
    pass


class s3dlio_buffer(Structure):
    pass


class s3dlio_queue(Structure):
    pass


class s3dlio_op(Structure):
    pass


class s3dlio_checkpoint_writer(Structure):
    pass


class s3dlio_checkpoint_shard(Structure):
    pass


class s3dlio_checkpoint(Structure):
    pass


class s3dlio_dataset(Structure):
    pass


class s3dlio_loader(Structure):
    pass


class s3dlio_batch(Structure):
    pass


error, options, store, lister, reader, writer, buffer, queue, op = (
    P(s3dlio_error), P(s3dlio_options), P(s3dlio_store), P(s3dlio_lister),
    P(s3dlio_reader), P(s3dlio_writer), P(s3dlio_buffer), P(s3dlio_queue), P(s3dlio_op),
)
checkpoint_writer, checkpoint_shard, checkpoint = (
    P(s3dlio_checkpoint_writer), P(s3dlio_checkpoint_shard), P(s3dlio_checkpoint),
)
dataset, loader, batch = P(s3dlio_dataset), P(s3dlio_loader), P(s3dlio_batch)

# ---- structs


class s3dlio_key_value(Structure):
    _fields_ = [("key", text), ("value", text)]


class s3dlio_object_info(Structure):
    _fields_ = [
        ("kind", u32),
        ("has_crc32c", u32),
        ("size", u64),
        ("last_modified_ns", i64),
        ("crc32c", u32),
        ("reserved", u32),
        ("key", text),
        ("uri", text),
        ("etag", text),
        ("content_type", text),
        ("metadata", P(s3dlio_key_value)),
        ("metadata_count", size_t),
    ]


class s3dlio_put_options(Structure):
    _fields_ = [
        ("content_type", text),
        ("metadata", P(s3dlio_key_value)),
        ("metadata_count", size_t),
        ("if_match", text),
        ("create_only", u32),
        ("reserved", u32),
    ]


class s3dlio_write_stats(Structure):
    _fields_ = [
        ("bytes", u64),
        ("stored_bytes", u64),
        ("crc32c", u32),
        ("stored_crc32c", u32),
        ("parts", u32),
        ("finished", u32),
        ("etag", c_char * 256),
    ]


class s3dlio_capabilities(Structure):
    _fields_ = [
        ("min_part_size", u64),
        ("max_part_size", u64),
        ("max_parts", u32),
        ("alignment", u32),
        ("conditional_put", u32),
        ("metadata", u32),
        ("literal_keys", u32),
        ("blocking_io", u32),
    ]


class s3dlio_option_info(Structure):
    _fields_ = [
        ("key", text),
        ("type", text),
        ("default_value", text),
        ("bounds", text),
        ("env", text),
        ("doc", text),
    ]


class s3dlio_range(Structure):
    _fields_ = [("offset", u64), ("length", size_t), ("dst", memory), ("bytes_read", size_t)]


class s3dlio_get_result(Structure):
    _fields_ = [("data", buffer), ("error", error), ("status", i32), ("reserved", u32)]


class s3dlio_put_item(Structure):
    _fields_ = [
        ("key", text),
        ("data", memory),
        ("length", size_t),
        ("status", i32),
        ("crc32c", u32),
        ("error", error),
    ]


class s3dlio_check(Structure):
    _fields_ = [
        ("key", text),
        ("offset", u64),
        ("length", u64),
        ("has_crc32c", u32),
        ("crc32c", u32),
        ("status", i32),
        ("reserved", u32),
        ("error", error),
    ]


class s3dlio_stats(Structure):
    _fields_ = [
        ("pool_idle_bytes", u64),
        ("pool_idle_buffers", u64),
        ("direct_fallbacks", u64),
        ("handles", u64),
        ("io_uring_fallbacks", u64),
    ]


class s3dlio_event(Structure):
    _fields_ = [
        ("token", u64),
        ("status", i32),
        ("reserved", u32),
        ("bytes", u64),
        ("data", buffer),
        ("error", error),
        ("reader", reader),
        ("infos", P(P(s3dlio_object_info))),
        ("info_count", size_t),
        ("written", P(s3dlio_write_stats)),
        ("batch", batch),
    ]


class s3dlio_world(Structure):
    _fields_ = [
        ("rank", u32),
        ("world_size", u32),
        ("local_rank", u32),
        ("local_world_size", u32),
        ("launcher", c_char * 32),
        ("run_id", c_char * 256),
    ]


class s3dlio_extent(Structure):
    _fields_ = [("offset", u64), ("length", u64)]


class s3dlio_npy_info(Structure):
    _fields_ = [
        ("descr", c_char * 32),
        ("fortran_order", i32),
        ("ndim", u32),
        ("shape", u64 * S3DLIO_NPY_MAX_AXES),
        ("data_offset", u64),
        ("data_length", u64),
    ]


class s3dlio_array(Structure):
    _fields_ = [
        ("name", text),
        ("descr", text),
        ("shape", P(u64)),
        ("ndim", size_t),
        ("data", memory),
        ("length", size_t),
    ]


class s3dlio_npz_member(Structure):
    _fields_ = [
        ("name", text),
        ("offset", u64),
        ("length", u64),
        ("size", u64),
        ("packed", u64),
        ("crc32", u32),
        ("method", c_uint16),
        ("flags", c_uint16),
    ]


class s3dlio_tensor(Structure):
    _fields_ = [
        ("name", text),
        ("dtype", text),
        ("shape", P(u64)),
        ("global_shape", P(u64)),
        ("start", P(u64)),
        ("ndim", u32),
        ("flags", u32),
        ("data", memory),
        ("length", size_t),
    ]


class s3dlio_tensor_request(Structure):
    _fields_ = [
        ("name", text),
        ("start", P(u64)),
        ("shape", P(u64)),
        ("ndim", u32),
        ("flags", u32),
        ("rank", i64),
        ("data", memory),
        ("length", size_t),
    ]


class s3dlio_checkpoint_params(Structure):
    _fields_ = [
        ("step", u64),
        ("epoch", u64),
        ("has_epoch", u32),
        ("rank", u32),
        ("world_size", u32),
        ("reserved", u32),
        ("id", text),
        ("run_id", text),
        ("framework", text),
        ("metadata", P(s3dlio_key_value)),
        ("metadata_count", size_t),
    ]


class s3dlio_checkpoint_info(Structure):
    _fields_ = [
        ("step", u64),
        ("epoch", u64),
        ("has_epoch", u32),
        ("world_size", u32),
        ("id", text),
        ("framework", text),
        ("created", text),
        ("strategy", text),
        ("uri", text),
        ("entry_count", size_t),
        ("shard_count", size_t),
        ("metadata_count", size_t),
        ("bytes", u64),
        ("stored_bytes", u64),
    ]


class s3dlio_entry_info(Structure):
    _fields_ = [
        ("name", text),
        ("dtype", text),
        ("shape", P(u64)),
        ("ndim", size_t),
        ("bytes", u64),
        ("parts", size_t),
    ]


class s3dlio_shard_info(Structure):
    _fields_ = [
        ("rank", u32),
        ("kind", u32),
        ("name", text),
        ("key", text),
        ("size", u64),
        ("stored_size", u64),
        ("crc32c", u32),
        ("stored_crc32c", u32),
    ]


class s3dlio_dataset_params(Structure):
    _fields_ = [
        ("format", i32),
        ("reserved", u32),
        ("glob", text),
        ("regex", text),
        ("record_size", u64),
        ("skip_bytes", u64),
        ("index", text),
        ("member", text),
    ]


class s3dlio_loader_params(Structure):
    _fields_ = [
        ("batch_size", u64),
        ("seed", u64),
        ("epoch", u64),
        ("rank", u32),
        ("world_size", u32),
        ("worker", u32),
        ("workers", u32),
        ("states", P(text)),
        ("state_count", size_t),
    ]


class s3dlio_loader_stats(Structure):
    _fields_ = [
        ("items", u64),
        ("bytes", u64),
        ("batches", u64),
        ("skipped", u64),
        ("substituted", u64),
        ("wait_ns", u64),
        ("in_flight", u64),
        ("buffered_items", u64),
        ("buffered_bytes", u64),
        ("listed", u64),
    ]


class s3dlio_field(Structure):
    _fields_ = [("name", text), ("data", memory), ("length", size_t)]


class s3dlio_sample(Structure):
    _fields_ = [
        ("uri", text),
        ("name", text),
        ("index", u64),
        ("fields", P(s3dlio_field)),
        ("field_count", size_t),
        ("data", memory),
        ("length", size_t),
    ]


class s3dlio_generate_object_params(Structure):
    _fields_ = [
        ("format", i32),
        ("ndim", u32),
        ("dtype", text),
        ("shape", P(u64)),
        ("count", u64),
        ("record_size", u64),
        ("name", text),
    ]


class s3dlio_generate_params(Structure):
    _fields_ = [
        ("seed", u64),
        ("dedupe", c_double),
        ("compress", c_double),
        ("block_size", u64),
        ("threads", u32),
        ("reserved", u32),
    ]


s3dlio_log_callback = CFUNCTYPE(None, i32, text, text, memory)

# ---- functions: name -> (result, arguments)

_err = P(error)
_info = P(s3dlio_object_info)
_put = P(s3dlio_put_options)
_written = P(s3dlio_write_stats)
_dataset = P(s3dlio_dataset_params)

FUNCTIONS = {
    # library
    "s3dlio_abi_version": (u32, ()),
    "s3dlio_version": (text, ()),
    "s3dlio_has_feature": (i32, (text,)),
    "s3dlio_status_name": (text, (i32,)),
    "s3dlio_status_doc": (text, (i32,)),
    "s3dlio_shutdown": (i32, (u64, _err)),
    "s3dlio_log_to_fd": (i32, (i32, text, _err)),
    "s3dlio_log_set_callback": (i32, (s3dlio_log_callback, memory, text, _err)),
    "s3dlio_crc32c": (u32, (u32, memory, size_t)),
    "s3dlio_crc32c_combine": (u32, (u32, u32, u64)),
    "s3dlio_get_stats": (i32, (P(s3dlio_stats), size_t, _err)),
    "s3dlio_oplog_start": (i32, (text, options, _err)),
    "s3dlio_oplog_stop": (i32, (P(u64), P(u64), _err)),
    "s3dlio_profile_start": (i32, (u32, _err)),
    "s3dlio_profile_stop": (i32, (text, _err)),
    "s3dlio_stats_json": (i32, (P(buffer), _err)),
    "s3dlio_stats_prometheus": (i32, (P(buffer), _err)),
    # error
    "s3dlio_error_code": (i32, (error,)),
    "s3dlio_error_message": (text, (error,)),
    "s3dlio_error_retryable": (i32, (error,)),
    "s3dlio_error_http_status": (i32, (error,)),
    "s3dlio_error_os_errno": (i32, (error,)),
    "s3dlio_error_detail_count": (size_t, (error,)),
    "s3dlio_error_detail_at": (i32, (error, size_t, P(text), P(text))),
    "s3dlio_error_detail": (text, (error, text)),
    "s3dlio_error_free": (None, (error,)),
    # options
    "s3dlio_options_new": (i32, (P(options), _err)),
    "s3dlio_options_set": (i32, (options, text, text, _err)),
    "s3dlio_options_set_u64": (i32, (options, text, u64, _err)),
    "s3dlio_options_get": (i32, (options, text, P(buffer), _err)),
    "s3dlio_options_clone": (i32, (options, P(options), _err)),
    "s3dlio_options_free": (None, (options,)),
    "s3dlio_option_count": (size_t, ()),
    "s3dlio_option_at": (i32, (size_t, P(s3dlio_option_info), size_t, _err)),
    # buffer
    "s3dlio_buffer_new": (i32, (size_t, P(buffer), _err)),
    "s3dlio_buffer_data": (memory, (buffer,)),
    "s3dlio_buffer_size": (size_t, (buffer,)),
    "s3dlio_buffer_clone": (i32, (buffer, P(buffer), _err)),
    "s3dlio_buffer_free": (None, (buffer,)),
    # store
    "s3dlio_store_open": (i32, (text, options, P(store), _err)),
    "s3dlio_store_uri": (text, (store,)),
    "s3dlio_store_capabilities": (i32, (store, P(s3dlio_capabilities), size_t, _err)),
    "s3dlio_store_get": (i32, (store, text, P(buffer), _err)),
    "s3dlio_store_get_range": (i32, (store, text, u64, u64, P(buffer), _err)),
    "s3dlio_store_get_into": (i32, (store, text, memory, size_t, P(size_t), _err)),
    "s3dlio_store_get_range_into": (i32, (store, text, u64, memory, size_t, P(size_t), _err)),
    "s3dlio_store_get_ranges": (i32, (store, text, P(s3dlio_range), size_t, _err)),
    "s3dlio_store_get_many": (i32, (store, P(text), size_t, P(s3dlio_get_result), _err)),
    "s3dlio_store_put": (i32, (store, text, memory, size_t, _put, size_t, _written, size_t, _err)),
    "s3dlio_store_stat": (i32, (store, text, _info, size_t, P(buffer), _err)),
    "s3dlio_store_exists": (i32, (store, text, P(i32), _err)),
    "s3dlio_store_delete": (i32, (store, text, _err)),
    "s3dlio_store_delete_prefix": (i32, (store, text, P(u64), _err)),
    "s3dlio_store_copy": (i32, (store, text, text, _err)),
    "s3dlio_store_rename": (i32, (store, text, text, _err)),
    "s3dlio_store_create_container": (i32, (store, _err)),
    "s3dlio_store_delete_container": (i32, (store, _err)),
    "s3dlio_store_list": (i32, (store, text, i32, P(lister), _err)),
    "s3dlio_store_list_containers": (i32, (store, P(lister), _err)),
    "s3dlio_store_validate": (i32, (store, text, u64, u64, P(u32), _err)),
    "s3dlio_store_put_many": (i32, (store, P(s3dlio_put_item), size_t, P(s3dlio_put_options), size_t, _err)),
    "s3dlio_store_validate_many": (i32, (store, P(s3dlio_check), size_t, _err)),
    "s3dlio_store_free": (None, (store,)),
    # one call, full URI
    "s3dlio_get": (i32, (text, options, P(buffer), _err)),
    "s3dlio_put": (i32, (text, options, memory, size_t, _err)),
    "s3dlio_stat": (i32, (text, options, _info, size_t, P(buffer), _err)),
    "s3dlio_exists": (i32, (text, options, P(i32), _err)),
    "s3dlio_delete": (i32, (text, options, _err)),
    # lister
    "s3dlio_lister_next": (i32, (lister, _info, size_t, _err)),
    "s3dlio_lister_free": (None, (lister,)),
    # reader
    "s3dlio_reader_open": (i32, (store, text, options, P(reader), _err)),
    "s3dlio_reader_size": (i32, (reader, P(u64), _err)),
    "s3dlio_reader_info": (i32, (reader, _info, size_t, _err)),
    "s3dlio_reader_read_at": (i32, (reader, u64, memory, size_t, P(size_t), _err)),
    "s3dlio_reader_readv_at": (i32, (reader, P(s3dlio_range), size_t, _err)),
    "s3dlio_reader_read": (i32, (reader, memory, size_t, P(size_t), _err)),
    "s3dlio_reader_seek": (i32, (reader, i64, i32, P(u64), _err)),
    "s3dlio_reader_expect_crc32c": (i32, (reader, u32, _err)),
    "s3dlio_reader_free": (None, (reader,)),
    # writer
    "s3dlio_writer_open": (i32, (store, text, options, _put, size_t, P(writer), _err)),
    "s3dlio_writer_key": (text, (writer,)),
    "s3dlio_writer_write": (i32, (writer, memory, size_t, _err)),
    "s3dlio_writer_write_buffer": (i32, (writer, buffer, _err)),
    "s3dlio_writer_reserve": (i32, (writer, size_t, P(memory), P(size_t), _err)),
    "s3dlio_writer_commit": (i32, (writer, size_t, _err)),
    "s3dlio_writer_finish": (i32, (writer, _written, size_t, _err)),
    "s3dlio_writer_abort": (i32, (writer, _err)),
    "s3dlio_writer_get_stats": (i32, (writer, _written, size_t, _err)),
    "s3dlio_writer_free": (None, (writer,)),
    # queue and submits
    "s3dlio_queue_new": (i32, (P(queue), _err)),
    "s3dlio_queue_fd": (i32, (queue, P(i32), _err)),
    "s3dlio_queue_next": (i32, (queue, i64, P(s3dlio_event), size_t, _err)),
    "s3dlio_queue_close": (i32, (queue, i32, _err)),
    "s3dlio_queue_free": (None, (queue,)),
    "s3dlio_op_cancel": (i32, (op, _err)),
    "s3dlio_op_progress": (i32, (op, P(u64), P(u64), _err)),
    "s3dlio_op_free": (None, (op,)),
    "s3dlio_store_get_submit": (i32, (store, text, queue, u64, P(op), _err)),
    "s3dlio_store_get_range_submit": (i32, (store, text, u64, u64, queue, u64, P(op), _err)),
    "s3dlio_store_get_into_submit": (i32, (store, text, memory, size_t, queue, u64, P(op), _err)),
    "s3dlio_store_get_range_into_submit": (
        i32,
        (store, text, u64, memory, size_t, queue, u64, P(op), _err),
    ),
    "s3dlio_store_put_submit": (i32, (store, text, memory, size_t, _put, size_t, queue, u64, P(op), _err)),
    "s3dlio_store_stat_submit": (i32, (store, text, queue, u64, P(op), _err)),
    "s3dlio_store_delete_submit": (i32, (store, text, queue, u64, P(op), _err)),
    "s3dlio_lister_page_submit": (i32, (lister, queue, u64, P(op), _err)),
    "s3dlio_reader_open_submit": (i32, (store, text, options, queue, u64, P(op), _err)),
    "s3dlio_reader_read_at_submit": (i32, (reader, u64, memory, size_t, queue, u64, P(op), _err)),
    "s3dlio_reader_read_submit": (i32, (reader, memory, size_t, queue, u64, P(op), _err)),
    "s3dlio_writer_write_submit": (i32, (writer, memory, size_t, queue, u64, P(op), _err)),
    "s3dlio_writer_finish_submit": (i32, (writer, queue, u64, P(op), _err)),
    "s3dlio_writer_abort_submit": (i32, (writer, queue, u64, P(op), _err)),
    # checkpoints
    "s3dlio_world_detect": (i32, (P(s3dlio_world), size_t, _err)),
    "s3dlio_checkpoint_writer_open": (
        i32,
        (store, options, P(s3dlio_checkpoint_params), size_t, P(checkpoint_writer), _err),
    ),
    "s3dlio_checkpoint_writer_id": (text, (checkpoint_writer,)),
    "s3dlio_checkpoint_writer_put_tensors": (i32, (checkpoint_writer, text, P(s3dlio_tensor), size_t, _err)),
    "s3dlio_checkpoint_writer_snapshot_tensors": (
        i32,
        (checkpoint_writer, text, P(s3dlio_tensor), size_t, _err),
    ),
    "s3dlio_checkpoint_writer_snapshot_buffers": (
        i32,
        (checkpoint_writer, text, P(s3dlio_tensor), P(P(s3dlio_buffer)), size_t, _err),
    ),
    "s3dlio_checkpoint_writer_put_bytes": (i32, (checkpoint_writer, text, memory, size_t, _err)),
    "s3dlio_checkpoint_writer_open_shard": (
        i32,
        (checkpoint_writer, text, P(s3dlio_tensor), size_t, P(checkpoint_shard), _err),
    ),
    "s3dlio_checkpoint_writer_finish": (i32, (checkpoint_writer, _err)),
    "s3dlio_checkpoint_writer_commit": (i32, (checkpoint_writer, _err)),
    "s3dlio_checkpoint_writer_abort": (i32, (checkpoint_writer, _err)),
    "s3dlio_checkpoint_writer_free": (None, (checkpoint_writer,)),
    "s3dlio_checkpoint_shard_write": (i32, (checkpoint_shard, memory, size_t, _err)),
    "s3dlio_checkpoint_shard_reserve": (i32, (checkpoint_shard, size_t, P(memory), P(size_t), _err)),
    "s3dlio_checkpoint_shard_commit": (i32, (checkpoint_shard, size_t, _err)),
    "s3dlio_checkpoint_shard_finish": (i32, (checkpoint_shard, P(s3dlio_write_stats), size_t, _err)),
    "s3dlio_checkpoint_shard_free": (None, (checkpoint_shard,)),
    "s3dlio_checkpoint_open": (i32, (store, options, u64, P(checkpoint), _err)),
    "s3dlio_checkpoint_open_id": (i32, (store, options, text, P(checkpoint), _err)),
    "s3dlio_checkpoint_get_info": (i32, (checkpoint, P(s3dlio_checkpoint_info), size_t, _err)),
    "s3dlio_checkpoint_metadata": (i32, (checkpoint, size_t, P(text), P(text), _err)),
    "s3dlio_checkpoint_entry": (i32, (checkpoint, size_t, P(s3dlio_entry_info), size_t, _err)),
    "s3dlio_checkpoint_find": (i32, (checkpoint, text, P(size_t), _err)),
    "s3dlio_checkpoint_shard_info": (i32, (checkpoint, size_t, P(s3dlio_shard_info), size_t, _err)),
    "s3dlio_checkpoint_load": (i32, (checkpoint, P(s3dlio_tensor_request), size_t, _err)),
    "s3dlio_checkpoint_read_shard": (i32, (checkpoint, u32, text, P(buffer), _err)),
    "s3dlio_checkpoint_validate": (i32, (checkpoint, u32, _err)),
    "s3dlio_checkpoint_free": (None, (checkpoint,)),
    "s3dlio_checkpoint_list": (i32, (store, P(u64), size_t, P(size_t), _err)),
    "s3dlio_checkpoint_delete": (i32, (store, u64, _err)),
    "s3dlio_checkpoint_prune": (i32, (store, u64, u64, P(size_t), _err)),
    "s3dlio_checkpoint_collect": (i32, (store, u64, P(size_t), _err)),
    "s3dlio_checkpoint_writer_finish_submit": (i32, (checkpoint_writer, queue, u64, P(op), _err)),
    "s3dlio_checkpoint_writer_commit_submit": (i32, (checkpoint_writer, queue, u64, P(op), _err)),
    "s3dlio_checkpoint_load_submit": (
        i32,
        (checkpoint, P(s3dlio_tensor_request), size_t, queue, u64, P(op), _err),
    ),
    # formats
    "s3dlio_tfrecord_append": (i32, (memory, size_t, memory, size_t, P(size_t), _err)),
    "s3dlio_tfrecord_parse": (i32, (memory, size_t, P(s3dlio_extent), size_t, P(size_t), _err)),
    "s3dlio_tfrecord_index": (i32, (memory, size_t, i32, P(buffer), _err)),
    "s3dlio_tfrecord_index_parse": (i32, (memory, size_t, u64, P(s3dlio_extent), size_t, P(size_t), _err)),
    "s3dlio_tar_append": (i32, (text, memory, size_t, memory, size_t, P(size_t), _err)),
    "s3dlio_npy_head": (i32, (text, i32, P(u64), size_t, P(buffer), _err)),
    "s3dlio_npy_parse": (i32, (memory, size_t, u64, P(s3dlio_npy_info), size_t, _err)),
    "s3dlio_npz_write": (i32, (P(s3dlio_array), size_t, P(buffer), _err)),
    "s3dlio_hdf5_write": (i32, (P(s3dlio_array), size_t, P(buffer), _err)),
    "s3dlio_npz_list": (i32, (memory, size_t, u64, P(P(s3dlio_npz_member)), P(size_t), P(buffer), _err)),
    "s3dlio_npz_unpack": (i32, (P(s3dlio_npz_member), memory, size_t, P(buffer), _err)),
    # datasets and loaders
    "s3dlio_dataset_open": (i32, (text, _dataset, size_t, options, P(dataset), _err)),
    "s3dlio_dataset_open_uris": (i32, (P(text), size_t, _dataset, size_t, options, P(dataset), _err)),
    "s3dlio_dataset_open_manifest": (i32, (text, _dataset, size_t, options, P(dataset), _err)),
    "s3dlio_dataset_write_manifest": (i32, (text, _dataset, size_t, options, text, P(u64), _err)),
    "s3dlio_dataset_length": (i32, (dataset, P(u64), _err)),
    "s3dlio_dataset_index": (i32, (dataset, P(dataset), _err)),
    "s3dlio_dataset_get_many": (i32, (dataset, P(u64), size_t, P(batch), _err)),
    "s3dlio_dataset_free": (None, (dataset,)),
    "s3dlio_loader_open": (i32, (dataset, P(s3dlio_loader_params), size_t, options, P(loader), _err)),
    "s3dlio_loader_next": (i32, (loader, P(batch), _err)),
    "s3dlio_loader_next_submit": (i32, (loader, queue, u64, P(op), _err)),
    "s3dlio_loader_state": (i32, (loader, P(buffer), _err)),
    "s3dlio_loader_merge_states": (i32, (P(text), size_t, P(buffer), _err)),
    "s3dlio_loader_get_stats": (i32, (loader, P(s3dlio_loader_stats), size_t, _err)),
    "s3dlio_loader_free": (None, (loader,)),
    "s3dlio_batch_count": (size_t, (batch,)),
    "s3dlio_batch_samples": (P(s3dlio_sample), (batch,)),
    "s3dlio_batch_gather": (i32, (batch, size_t, memory, size_t, P(u64), _err)),
    "s3dlio_batch_free": (None, (batch,)),
    "s3dlio_generate": (i32, (P(s3dlio_generate_params), size_t, u64, u64, memory, size_t, _err)),
    "s3dlio_generate_object": (
        i32,
        (
            P(s3dlio_generate_params), size_t, P(s3dlio_generate_object_params), size_t, u64, P(buffer), _err,
        ),
    ),
}
