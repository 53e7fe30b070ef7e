"""
What is known of an object, a prefix or a container.

- `kind`: `:object`, `:prefix` (a level of a list that is not recursive) or `:container`
- `key`: relative to the store's root; `uri`: the whole URI
- `size`: stored bytes; 0 for prefixes and containers
- `last_modified`: `DateTime` in UTC to the millisecond; `last_modified_ns`: since 1970-01-01 UTC
- `etag`, `content_type`, `crc32c` (of the stored bytes), `metadata`: as the store tells

What is unknown is `nothing`, and `metadata` is empty.
"""
struct ObjectInfo
    kind::Symbol
    key::String
    uri::String
    size::Int64
    last_modified::Union{DateTime,Nothing}
    last_modified_ns::Union{Int64,Nothing}
    etag::Union{String,Nothing}
    content_type::Union{String,Nothing}
    crc32c::Union{UInt32,Nothing}
    metadata::Dict{String,String}
end

# Copies everything; the C texts may go afterwards.
function ObjectInfo(c::s3dlio_object_info)
    kind = c.kind == S3DLIO_KIND_OBJECT ? :object : c.kind == S3DLIO_KIND_PREFIX ? :prefix : :container
    ns = c.last_modified_ns == typemin(Int64) ? nothing : c.last_modified_ns
    metadata = Dict{String,String}()
    for i in 1:c.metadata_count
        pair = unsafe_load(c.metadata, i)
        metadata[text(pair.key)] = text(pair.value)
    end
    return ObjectInfo(kind, text(c.key), text(c.uri), Int64(c.size),
        ns === nothing ? nothing : unix2datetime(fld(ns, 1_000_000) / 1000), ns,
        maybe_text(c.etag), maybe_text(c.content_type),
        c.has_crc32c == 0 ? nothing : c.crc32c, metadata)
end

function Base.show(io::IO, o::ObjectInfo)
    print(io, "ObjectInfo(", o.kind, " ", repr(o.key))
    o.kind === :object && print(io, ", ", o.size, " bytes")
    o.last_modified === nothing || print(io, ", ", o.last_modified)
    print(io, ")")
end

"""
What was written.

- `bytes` as given, `stored_bytes` after compression, and the CRC32C of both (`crc32c`, `stored_crc32c`)
- `parts`: requests that carried the data
- `finished`: whether the object is published; `etag`: then, where the store tells
"""
struct WriteStats
    bytes::Int64
    stored_bytes::Int64
    crc32c::UInt32
    stored_crc32c::UInt32
    parts::Int
    finished::Bool
    etag::Union{String,Nothing}
end

function WriteStats(c::s3dlio_write_stats)
    stop = something(findfirst(iszero, c.etag), length(c.etag) + 1)
    etag = String(UInt8[c.etag[i] for i in 1:stop-1])
    return WriteStats(c.bytes, c.stored_bytes, c.crc32c, c.stored_crc32c, c.parts, c.finished != 0,
        isempty(etag) ? nothing : etag)
end

# The C form of put options: the struct and what keeps its pointers alive.
function put_options(content_type, metadata, if_match, create_only)
    invalid(s, what) = ctext(s, ERR_INVALID_ARGUMENT, what)
    type = content_type === nothing ? nothing : invalid(content_type, "the content type")
    etag = if_match === nothing ? nothing : invalid(if_match, "the ETag")
    texts = String[]
    for (name, value) in metadata
        push!(texts, invalid(string(name), "a metadata name"), invalid(string(value), "a metadata value"))
    end
    cstring(s) = s === nothing ? Cstring(C_NULL) : Base.unsafe_convert(Cstring, s)
    list = [s3dlio_key_value(cstring(texts[i]), cstring(texts[i+1])) for i in 1:2:length(texts)]
    c = s3dlio_put_options(cstring(type), isempty(list) ? C_NULL : pointer(list), length(list),
        cstring(etag), create_only ? 1 : 0, 0)
    return Ref(c), (type, etag, texts, list)
end
