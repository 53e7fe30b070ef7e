"""
    Writer(store, key, settings...; content_type, metadata, if_match, create_only, keywords...) <: IO
    open(store, key, "w") do io ... end

Streams an object in constant memory. Nothing is visible under the key until `S3dlio.finish` or
`close`; after an exception in the `do` block, `S3dlio.abort`, or when a writer is collected
unfinished, nothing is published and no part stays behind. With `writer_compression = "zstd"` the
stored bytes are compressed and `.zst` is appended to the key (`S3dlio.key(writer)`).

The keywords are those of `S3dlio.put`, and [`Options`](@ref) on top of the store's. The first error
is kept: everything after it fails with it. One task at a time.
"""
mutable struct Writer <: IO
    handle::Ptr{s3dlio_writer}
    reserved::Union{ForeignBytes,Nothing}     # what `reserve` gave out last
    last::Union{WriteStats,Nothing}           # statistics of a closed writer
    key::String
    Writer(handle::Ptr{s3dlio_writer}) =
        finalizer(free, new(handle, nothing, nothing, text(s3dlio_writer_key(handle))))
end

function Writer(s::Store, key::AbstractString, settings...; content_type = nothing, metadata = (),
        if_match = nothing, create_only::Bool = false, keywords...)
    key = ckey(key)
    options = options_of(settings, keywords)
    put, texts = put_options(content_type, metadata, if_match, create_only)
    return GC.@preserve texts Writer(checked(Ptr{s3dlio_writer}) do out, err
        s3dlio_writer_open(s, key, options, put, sizeof(s3dlio_put_options), out, err)
    end)
end

# Also the finalizer: C aborts what is unfinished in the background.
function free(w::Writer)
    handle = w.handle
    w.handle = C_NULL
    withdraw(w)
    handle == C_NULL || s3dlio_writer_free(handle)
    return nothing
end

function Base.unsafe_convert(::Type{Ptr{s3dlio_writer}}, w::Writer)
    w.handle == C_NULL && throw(closed("Writer"))
    return w.handle
end

Base.show(io::IO, w::Writer) = print(io, "Writer(", repr(w.key), isopen(w) ? ")" : ", closed)")
Base.isopen(w::Writer) = w.handle != C_NULL
Base.isreadable(::Writer) = false
Base.iswritable(w::Writer) = isopen(w)
Base.eof(::Writer) = true

"The key that is being written, with `.zst` if it is compressed."
key(w::Writer) = w.key

function Base.unsafe_write(w::Writer, from::Ptr{UInt8}, bytes::UInt)
    withdraw(w)
    check(err -> s3dlio_writer_write(w, convert(Ptr{Cvoid}, from), bytes, err))
    return Int(bytes)
end

Base.write(w::Writer, byte::UInt8) =
    (r = Ref(byte); GC.@preserve r unsafe_write(w, Base.unsafe_convert(Ptr{UInt8}, r), UInt(1)))

"""
    S3dlio.write_buffer(writer, buffer) -> bytes

Writes a [`Buffer`](@ref) without copying it. The writer takes the memory over: `buffer` is empty
afterwards, and pointers into it are invalid.
"""
function write_buffer(w::Writer, b::Buffer)
    withdraw(w)
    bytes = length(b)
    GC.@preserve b check(err -> s3dlio_writer_write_buffer(w, b, err))
    forget(b)
    return bytes
end

"Memory of a writer that waits for `S3dlio.commit`; see [`S3dlio.reserve`](@ref)."
mutable struct Reservation <: ForeignBytes
    data::Ptr{UInt8}
    length::Int
    writer::IO                # a Writer or CheckpointShard; keeps the memory alive
end

"""
    S3dlio.reserve(writer, min_size) -> vector of min_size bytes or more

Memory of the writer's own to fill, so that nothing is copied; `S3dlio.commit(writer, n)` writes its
first `n` bytes. The next call on the writer takes the memory back: the vector is then empty, and
pointers into it are invalid.
"""
function reserve(w::Writer, min_size::Integer)
    withdraw(w)
    wanted = cunsigned(min_size, "the size")
    capacity = Ref{Csize_t}(0)
    data = checked(Ptr{Cvoid}) do out, err
        s3dlio_writer_reserve(w, wanted, out, capacity, err)
    end
    w.reserved = Reservation(convert(Ptr{UInt8}, data), Int(capacity[]), w)
    return w.reserved
end

"`S3dlio.commit(writer, bytes)`: writes the first `bytes` of what `S3dlio.reserve` gave."
function commit(w::Writer, bytes::Integer)
    count = cunsigned(bytes, "the size")
    check(err -> s3dlio_writer_commit(w, count, err))
    withdraw(w)
    return nothing
end

function withdraw(w::Writer)
    r = w.reserved
    w.reserved = nothing
    r === nothing || (r.data = C_NULL; r.length = 0)
    return nothing
end

"""
    S3dlio.finish(writer) -> WriteStats

Publishes the object. When this returns (or `close`) it is stored. On failure nothing is published,
unless the error is `ERR_UNKNOWN_OUTCOME`. Later writes are an error; statistics stay readable.
"""
function finish(w::Writer)
    withdraw(w)
    return WriteStats(checked(s3dlio_write_stats) do out, err
        s3dlio_writer_finish(w, out, sizeof(s3dlio_write_stats), err)
    end)
end

"""
    S3dlio.abort(writer)

Gives the object up and closes the writer: nothing is published, and no part stays behind. What is
finished cannot be aborted (`ERR_INVALID_STATE`). A closed writer stays as it is.
"""
function abort(w::Writer)
    isopen(w) || return nothing
    withdraw(w)
    try
        check(err -> s3dlio_writer_abort(w, err))
        w.last = get_stats(w)
    finally
        free(w)
    end
    return nothing
end

"`S3dlio.get_stats(writer) -> WriteStats` so far; final once the writer is finished or closed."
function get_stats(w::Writer)
    isopen(w) || w.last === nothing || return w.last
    return WriteStats(checked(s3dlio_write_stats) do out, err
        s3dlio_writer_get_stats(w, out, sizeof(s3dlio_write_stats), err)
    end)
end

Base.position(w::Writer) = get_stats(w).bytes

"Finishes what is unfinished and gives the writer back; closing twice is allowed."
function Base.close(w::Writer)
    isopen(w) || return nothing
    try
        w.last = get_stats(w)
        w.last.finished || (w.last = finish(w))
    finally
        free(w)
    end
    return nothing
end

"""
    open(store, key, mode = "r"; keywords...)
    open(f, store, key, mode = "r"; keywords...)

Mode `"r"` gives a [`Reader`](@ref), `"w"` a [`Writer`](@ref). With a function or `do` block the
result is that of `f`; a writer is finished after it, or aborted if it throws.
"""
function Base.open(s::Store, key::AbstractString, mode::AbstractString = "r"; keywords...)
    mode == "r" && return Reader(s, key; keywords...)
    mode == "w" && return Writer(s, key; keywords...)
    throw(S3dlioException(ERR_INVALID_ARGUMENT, "the mode is $(repr(mode)); expected \"r\" or \"w\""))
end

function Base.open(f::Function, s::Store, key::AbstractString, mode::AbstractString = "r"; keywords...)
    io = open(s, key, mode; keywords...)
    return with(f, io)
end

with(f, r::Reader) =
    try
        f(r)
    finally
        close(r)
    end

function with(f, w::Writer)
    result = try
        f(w)
    catch
        give_up(w)
        rethrow()
    end
    close(w)
    return result
end

# After an exception of the caller's: that one is reported, whatever becomes of the abort.
function give_up(w::Writer)
    isopen(w) || return
    try
        get_stats(w).finished || abort(w)
    catch e
        @warn "S3dlio: aborting the write of $(repr(w.key)) failed" exception = e
    finally
        free(w)
    end
end
