"""
    Store(uri, settings...; keywords...)

A place to keep objects, opened at a root URI; keys are relative to it. `s3://bucket/prefix`,
`az://account/container/prefix`, `file:///folder`, `direct:///folder` (O_DIRECT) or `memory://name`.
URIs and keys are taken literally: nothing is percent-decoded. Settings are [`Options`](@ref).

Any number of tasks and threads may use one store at the same time. `close` gives it back at once;
readers and writers that are open go on.
"""
mutable struct Store
    handle::Ptr{s3dlio_store}
    Store(handle::Ptr{s3dlio_store}) = finalizer(free, new(handle))
end

function Store(uri::AbstractString, settings...; keywords...)
    uri, options = curi(uri), options_of(settings, keywords)
    return Store(checked((out, err) -> s3dlio_store_open(uri, options, out, err), Ptr{s3dlio_store}))
end

function free(s::Store)
    handle = s.handle
    s.handle = C_NULL
    handle == C_NULL || s3dlio_store_free(handle)
    return nothing
end

closed(what) = S3dlioException(ERR_BAD_HANDLE, "the $what was closed")

Base.close(s::Store) = free(s)
Base.isopen(s::Store) = s.handle != C_NULL
Base.show(io::IO, s::Store) = print(io, "Store(", isopen(s) ? repr(uri(s)) : "closed", ")")

function Base.unsafe_convert(::Type{Ptr{s3dlio_store}}, s::Store)
    s.handle == C_NULL && throw(closed("Store"))
    return s.handle
end

"The store's root URI."
uri(s::Store) = GC.@preserve s text(s3dlio_store_uri(s))

"What the store can do: a named tuple with the fields of `s3dlio_capabilities`."
function capabilities(s::Store)
    c = checked(s3dlio_capabilities) do out, err
        s3dlio_store_capabilities(s, out, sizeof(s3dlio_capabilities), err)
    end
    return (min_part_size = Int64(c.min_part_size), max_part_size = c.max_part_size,
        max_parts = Int(c.max_parts), alignment = Int(c.alignment),
        conditional_put = c.conditional_put != 0, metadata = c.metadata != 0,
        literal_keys = c.literal_keys != 0, blocking_io = c.blocking_io != 0)
end

"""
    S3dlio.get(store, key) -> Buffer

The whole object's stored bytes. Large objects come in parallel ranges of one version.
"""
function get(s::Store, key::AbstractString)
    key = ckey(key)
    return Buffer(checked((out, err) -> s3dlio_store_get(s, key, out, err), Ptr{s3dlio_buffer}))
end

"""
    S3dlio.get_range(store, key, offset, length = nothing) -> Buffer

Bytes from `offset` (0 is the first), at most `length` of them; `nothing` is up to the end. A range
that crosses the end gives what there is; one that starts past the end is an error (`ERR_RANGE`).
"""
function get_range(s::Store, key::AbstractString, offset::Integer, length::Union{Integer,Nothing} = nothing)
    key, from, count = ckey(key), coffset(offset), clength(length)
    return Buffer(checked(Ptr{s3dlio_buffer}) do out, err
        s3dlio_store_get_range(s, key, from, count, out, err)
    end)
end

"""
    S3dlio.get_into!(store, key, array) -> bytes read

The whole object into `array`, without a copy in between. An array that is too small is an error
(`ERR_BUFFER_TOO_SMALL`, detail `required`); a larger one keeps its other bytes.
"""
function get_into!(s::Store, key::AbstractString, array::AbstractArray)
    key = ckey(key)
    root, at, bytes = memory(array)
    return GC.@preserve root Int(checked(Csize_t) do out, err
        s3dlio_store_get_into(s, key, at, bytes, out, err)
    end)
end

"""
    S3dlio.get_range_into!(store, key, offset, array) -> bytes read

As many bytes from `offset` as `array` holds, without a copy in between; fewer only at the end of
the object.
"""
function get_range_into!(s::Store, key::AbstractString, offset::Integer, array::AbstractArray)
    key, from = ckey(key), coffset(offset)
    root, at, bytes = memory(array)
    return GC.@preserve root Int(checked(Csize_t) do out, err
        s3dlio_store_get_range_into(s, key, from, at, bytes, out, err)
    end)
end

"""
    S3dlio.put(store, key, data; content_type, metadata, if_match, create_only) -> WriteStats

Stores text or the bytes of an array as one object, whole or not at all. `metadata` is a `Dict` or
pairs of text; `if_match` replaces only the object with this ETag; `create_only` never replaces.
"""
function put(s::Store, key::AbstractString, data::Data; content_type = nothing, metadata = (),
        if_match = nothing, create_only::Bool = false)
    key = ckey(key)
    root, at, bytes = memory(data)
    options, texts = put_options(content_type, metadata, if_match, create_only)
    return GC.@preserve root texts WriteStats(checked(s3dlio_write_stats) do out, err
        s3dlio_store_put(s, key, at, bytes, options, sizeof(s3dlio_put_options),
            out, sizeof(s3dlio_write_stats), err)
    end)
end

"`S3dlio.stat(store, key) -> ObjectInfo` of one object; it must exist."
function stat(s::Store, key::AbstractString)
    key = ckey(key)
    return with_info((info, size, texts, err) -> s3dlio_store_stat(s, key, info, size, texts, err))
end

# Calls a stat function and copies its answer.
function with_info(f)
    info = Ref(zeroed(s3dlio_object_info))
    texts = Ref{Ptr{s3dlio_buffer}}(C_NULL)
    check(err -> f(info, sizeof(s3dlio_object_info), texts, err))
    try
        return ObjectInfo(info[])
    finally
        s3dlio_buffer_free(texts[])
    end
end

"`S3dlio.exists(store, key) -> Bool`. A store that cannot tell is an error, never `false`."
function exists(s::Store, key::AbstractString)
    key = ckey(key)
    return checked((out, err) -> s3dlio_store_exists(s, key, out, err), Int32) != 0
end

"`S3dlio.delete(store, key)`: deletes one object. One that is not there is no error."
function delete(s::Store, key::AbstractString)
    key = ckey(key)
    check(err -> s3dlio_store_delete(s, key, err))
    return nothing
end

"""
    S3dlio.delete_prefix(store, prefix) -> objects deleted

Deletes the folder `prefix` with everything below it: `"run1"` takes `run1/a`, never `run10/a`. The
empty prefix takes everything below the store's root.
"""
function delete_prefix(s::Store, prefix::AbstractString)
    prefix = ckey(prefix)
    return Int(checked((out, err) -> s3dlio_store_delete_prefix(s, prefix, out, err), UInt64))
end

"`S3dlio.copy(store, from, to)`: copies an object within the store, replacing what is at `to`."
function copy(s::Store, from::AbstractString, to::AbstractString)
    from, to = ckey(from), ckey(to)
    check(err -> s3dlio_store_copy(s, from, to, err))
    return nothing
end

"`S3dlio.rename(store, from, to)`: moves an object within the store, replacing what is at `to`; a source
that is replaced meanwhile stays (`ERR_CHANGED`)."
function rename(s::Store, from::AbstractString, to::AbstractString)
    from, to = ckey(from), ckey(to)
    check(err -> s3dlio_store_rename(s, from, to, err))
    return nothing
end

"`S3dlio.create_container(store)`: creates the bucket, container or root folder of the store."
create_container(s::Store) = (check(err -> s3dlio_store_create_container(s, err)); nothing)

"`S3dlio.delete_container(store)`: deletes the empty bucket, container or root folder of the store."
delete_container(s::Store) = (check(err -> s3dlio_store_delete_container(s, err)); nothing)

"""
    S3dlio.validate(store, key; offset = 0, length = nothing, crc32c = nothing)

Reads the range and compares its CRC32C with `crc32c`; without it, the whole object with the checksum
that the store recorded (`ERR_UNSUPPORTED` if there is none). A difference is an exception (`ERR_CHECKSUM_MISMATCH`) that names both values.
"""
function validate(s::Store, key::AbstractString; offset::Integer = 0,
        length::Union{Integer,Nothing} = nothing, crc32c::Union{Integer,Nothing} = nothing)
    key, from, count = ckey(key), coffset(offset), clength(length)
    expected = crc32c === nothing ? C_NULL : Ref(UInt32(crc32c))
    check(err -> s3dlio_store_validate(s, key, from, count, expected, err))
    return nothing
end

"`read(store, key) -> Vector{UInt8}`: a copy of the whole object; `S3dlio.get` makes none."
function Base.read(s::Store, key::AbstractString)
    buffer = get(s, key)
    try
        return Vector{UInt8}(buffer)
    finally
        close(buffer)
    end
end

"`read(store, key, String)`: the whole object as text."
Base.read(s::Store, key::AbstractString, ::Type{String}) = String(read(s, key))

"`write(store, key, data) -> bytes`: as `S3dlio.put`."
Base.write(s::Store, key::AbstractString, data::Data) = Int(put(s, key, data).bytes)
