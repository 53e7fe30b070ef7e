# The types and numbers of include/s3dlio.h, under their C names. `test/abi.jl` compares every one
# with the header: names, fields, sizes and offsets.

"The ABI that this package was written for: major in the upper 16 bits, minor in the lower."
const S3DLIO_ABI_VERSION = 0x00010000

const S3DLIO_OK = Int32(0)
const S3DLIO_END = Int32(1)
const S3DLIO_TIMEOUT = Int32(2)
const S3DLIO_KIND_OBJECT = UInt32(0)
const S3DLIO_KIND_PREFIX = UInt32(1)
const S3DLIO_KIND_CONTAINER = UInt32(2)
const S3DLIO_SEEK_SET = Int32(0)
const S3DLIO_SEEK_CUR = Int32(1)
const S3DLIO_SEEK_END = Int32(2)
const S3DLIO_TO_END = typemax(UInt64)
const S3DLIO_TENSOR_REPLICATED = UInt32(1)
const S3DLIO_LATEST = typemax(UInt64)
const S3DLIO_FORMAT_OBJECTS = Int32(0)
const S3DLIO_FORMAT_TAR = Int32(1)
const S3DLIO_FORMAT_TFRECORD = Int32(2)
const S3DLIO_FORMAT_NPZ = Int32(3)
const S3DLIO_FORMAT_FIXED = Int32(4)
const S3DLIO_FORMAT_HDF5 = Int32(5)
const S3DLIO_FORMAT_RAW = Int32(6)
const S3DLIO_INDEX_PAIRS = Int32(0)
const S3DLIO_INDEX_TEXT = Int32(1)
const S3DLIO_UNKNOWN_LENGTH = typemax(UInt64)
const S3DLIO_SHARD_SAFETENSORS = UInt32(0)
const S3DLIO_SHARD_BYTES = UInt32(1)

# Handles: only pointers to them exist.
mutable struct s3dlio_error end
mutable struct s3dlio_options end
mutable struct s3dlio_store end
mutable struct s3dlio_lister end
mutable struct s3dlio_reader end
mutable struct s3dlio_writer end
mutable struct s3dlio_buffer end
mutable struct s3dlio_queue end
mutable struct s3dlio_op end
mutable struct s3dlio_dataset end
mutable struct s3dlio_loader end
mutable struct s3dlio_batch end
mutable struct s3dlio_checkpoint_writer end
mutable struct s3dlio_checkpoint_shard end
mutable struct s3dlio_checkpoint end

struct s3dlio_key_value
    key::Cstring
    value::Cstring
end

struct s3dlio_object_info
    kind::UInt32
    has_crc32c::UInt32
    size::UInt64
    last_modified_ns::Int64
    crc32c::UInt32
    reserved::UInt32
    key::Cstring
    uri::Cstring
    etag::Cstring
    content_type::Cstring
    metadata::Ptr{s3dlio_key_value}
    metadata_count::Csize_t
end

struct s3dlio_put_options
    content_type::Cstring
    metadata::Ptr{s3dlio_key_value}
    metadata_count::Csize_t
    if_match::Cstring
    create_only::UInt32
    reserved::UInt32
end

struct s3dlio_write_stats
    bytes::UInt64
    stored_bytes::UInt64
    crc32c::UInt32
    stored_crc32c::UInt32
    parts::UInt32
    finished::UInt32
    etag::NTuple{256,UInt8}
end

struct s3dlio_capabilities
    min_part_size::UInt64
    max_part_size::UInt64
    max_parts::UInt32
    alignment::UInt32
    conditional_put::UInt32
    metadata::UInt32
    literal_keys::UInt32
    blocking_io::UInt32
end

struct s3dlio_option_info
    key::Cstring
    type::Cstring
    default_value::Cstring
    bounds::Cstring
    env::Cstring
    doc::Cstring
end

struct s3dlio_range
    offset::UInt64
    length::Csize_t
    dst::Ptr{Cvoid}
    bytes_read::Csize_t
end

struct s3dlio_get_result
    data::Ptr{s3dlio_buffer}
    error::Ptr{s3dlio_error}
    status::Int32
    reserved::UInt32
end

struct s3dlio_put_item
    key::Cstring
    data::Ptr{Cvoid}
    length::Csize_t
    status::Int32
    crc32c::UInt32
    error::Ptr{s3dlio_error}
end

struct s3dlio_check
    key::Cstring
    offset::UInt64
    length::UInt64
    has_crc32c::UInt32
    crc32c::UInt32
    status::Int32
    reserved::UInt32
    error::Ptr{s3dlio_error}
end

struct s3dlio_stats
    pool_idle_bytes::UInt64
    pool_idle_buffers::UInt64
    direct_fallbacks::UInt64
    handles::UInt64
    io_uring_fallbacks::UInt64
end

struct s3dlio_event
    token::UInt64
    status::Int32
    reserved::UInt32
    bytes::UInt64
    data::Ptr{s3dlio_buffer}
    error::Ptr{s3dlio_error}
    reader::Ptr{s3dlio_reader}
    infos::Ptr{Ptr{s3dlio_object_info}}
    info_count::Csize_t
    written::Ptr{s3dlio_write_stats}
    batch::Ptr{s3dlio_batch}
end

struct s3dlio_dataset_params
    format::Int32
    reserved::UInt32
    glob::Cstring
    regex::Cstring
    record_size::UInt64
    skip_bytes::UInt64
    index::Cstring
    member::Cstring
end

struct s3dlio_field
    name::Cstring
    data::Ptr{Cvoid}
    length::Csize_t
end

struct s3dlio_sample
    uri::Cstring
    name::Cstring
    index::UInt64
    fields::Ptr{s3dlio_field}
    field_count::Csize_t
    data::Ptr{Cvoid}
    length::Csize_t
end

struct s3dlio_loader_params
    batch_size::UInt64
    seed::UInt64
    epoch::UInt64
    rank::UInt32
    world_size::UInt32
    worker::UInt32
    workers::UInt32
    states::Ptr{Cstring}
    state_count::Csize_t
end

struct s3dlio_loader_stats
    items::UInt64
    bytes::UInt64
    batches::UInt64
    skipped::UInt64
    substituted::UInt64
    wait_ns::UInt64
    in_flight::UInt64
    buffered_items::UInt64
    buffered_bytes::UInt64
    listed::UInt64
end

struct s3dlio_generate_params
    seed::UInt64
    dedupe::Float64
    compress::Float64
    block_size::UInt64
    threads::UInt32
    reserved::UInt32
end

struct s3dlio_generate_object_params
    format::Int32
    ndim::UInt32
    dtype::Cstring
    shape::Ptr{UInt64}
    count::UInt64
    record_size::UInt64
    name::Cstring
end

struct s3dlio_extent
    offset::UInt64
    length::UInt64
end

struct s3dlio_npy_info
    descr::NTuple{32,UInt8}
    fortran_order::Int32
    ndim::UInt32
    shape::NTuple{64,UInt64}
    data_offset::UInt64
    data_length::UInt64
end

struct s3dlio_array
    name::Cstring
    descr::Cstring
    shape::Ptr{UInt64}
    ndim::Csize_t
    data::Ptr{Cvoid}
    length::Csize_t
end

struct s3dlio_npz_member
    name::Cstring
    offset::UInt64
    length::UInt64
    size::UInt64
    packed::UInt64
    crc32::UInt32
    method::UInt16
    flags::UInt16
end

struct s3dlio_world
    rank::UInt32
    world_size::UInt32
    local_rank::UInt32
    local_world_size::UInt32
    launcher::NTuple{32,UInt8}
    run_id::NTuple{256,UInt8}
end

struct s3dlio_tensor
    name::Cstring
    dtype::Cstring
    shape::Ptr{UInt64}
    global_shape::Ptr{UInt64}
    start::Ptr{UInt64}
    ndim::UInt32
    flags::UInt32
    data::Ptr{Cvoid}
    length::Csize_t
end

struct s3dlio_tensor_request
    name::Cstring
    start::Ptr{UInt64}
    shape::Ptr{UInt64}
    ndim::UInt32
    flags::UInt32
    rank::Int64
    data::Ptr{Cvoid}
    length::Csize_t
end

struct s3dlio_checkpoint_params
    step::UInt64
    epoch::UInt64
    has_epoch::UInt32
    rank::UInt32
    world_size::UInt32
    reserved::UInt32
    id::Cstring
    run_id::Cstring
    framework::Cstring
    metadata::Ptr{s3dlio_key_value}
    metadata_count::Csize_t
end

struct s3dlio_checkpoint_info
    step::UInt64
    epoch::UInt64
    has_epoch::UInt32
    world_size::UInt32
    id::Cstring
    framework::Cstring
    created::Cstring
    strategy::Cstring
    uri::Cstring
    entry_count::Csize_t
    shard_count::Csize_t
    metadata_count::Csize_t
    bytes::UInt64
    stored_bytes::UInt64
end

struct s3dlio_entry_info
    name::Cstring
    dtype::Cstring
    shape::Ptr{UInt64}
    ndim::Csize_t
    bytes::UInt64
    parts::Csize_t
end

struct s3dlio_shard_info
    rank::UInt32
    kind::UInt32
    name::Cstring
    key::Cstring
    size::UInt64
    stored_size::UInt64
    crc32c::UInt32
    stored_crc32c::UInt32
end

"A struct of zero bytes, as C's `= {0}`."
function zeroed(::Type{T}) where {T}
    value = Ref{T}()
    ccall(:memset, Ptr{Cvoid}, (Ptr{Cvoid}, Cint, Csize_t), value, 0, sizeof(T))
    return value[]
end
