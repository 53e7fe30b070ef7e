"Small reads are served from a block of this many bytes; larger ones go straight to their memory."
const READ_BLOCK = 64 * 1024

"""
    Reader(store, key, settings...; keywords...) <: IO
    open(store, key) do io ... end

Reads one version of an object: `read`, `readbytes!`, `read!`, `readline`, `eof`, `seek`, `skip`,
`position`, `mark` ... as with any `IO`, with read-ahead. Objects whose key ends in `.zst` are
decompressed unless the option `reader.decompress` is false. Positions count from 0. Settings are
[`Options`](@ref) on top of the store's.

`S3dlio.read_at!` and `S3dlio.readv_at!` read at given offsets; any number of tasks and threads may
call these at the same time, everything else is for one task at a time.
"""
mutable struct Reader <: IO
    handle::Ptr{s3dlio_reader}
    block::Vector{UInt8}
    at::Int                   # bytes of the block that were given out
    filled::Int               # bytes of the block that are valid
    block_end::Int64          # position in the object right behind the valid bytes
    ended::Bool               # the object has nothing behind block_end
    mark::Int64               # for Base.mark
    Reader(handle::Ptr{s3dlio_reader}) = finalizer(free, new(handle, UInt8[], 0, 0, 0, false, -1))
end

function Reader(s::Store, key::AbstractString, settings...; keywords...)
    key = ckey(key)
    options = options_of(settings, keywords)
    return Reader(checked(Ptr{s3dlio_reader}) do out, err
        s3dlio_reader_open(s, key, options, out, err)
    end)
end

function free(r::Reader)
    handle = r.handle
    r.handle = C_NULL
    handle == C_NULL || s3dlio_reader_free(handle)
    return nothing
end

function Base.unsafe_convert(::Type{Ptr{s3dlio_reader}}, r::Reader)
    r.handle == C_NULL && throw(closed("Reader"))
    return r.handle
end

Base.show(io::IO, r::Reader) = print(io, "Reader(", isopen(r) ? repr(info(r).uri) : "closed", ")")
Base.isopen(r::Reader) = r.handle != C_NULL
Base.isreadable(r::Reader) = isopen(r)
Base.iswritable(::Reader) = false
Base.close(r::Reader) = (forget_block(r); free(r))

"The object's size in plain bytes. A compressed object that does not tell is `ERR_UNSUPPORTED`."
Base.filesize(r::Reader) = Int64(checked((out, err) -> s3dlio_reader_size(r, out, err), UInt64))

"`S3dlio.info(reader) -> ObjectInfo` of the version that is being read."
info(r::Reader) = GC.@preserve r ObjectInfo(checked(s3dlio_object_info) do out, err
    s3dlio_reader_info(r, out, sizeof(s3dlio_object_info), err)
end)

"""
    S3dlio.read_at!(reader, offset, array) -> bytes read

As many bytes from `offset` as `array` holds, fewer only at the end. The position stays.
"""
function read_at!(r::Reader, offset::Integer, array::AbstractArray)
    from = coffset(offset)
    root, at, bytes = memory(array)
    return GC.@preserve root Int(checked(Csize_t) do out, err
        s3dlio_reader_read_at(r, from, at, bytes, out, err)
    end)
end

"`S3dlio.readv_at!(reader, ranges)`: many ranges in one call, as [`S3dlio.get_ranges!`](@ref)."
function readv_at!(r::Reader, ranges)
    list, roots = cranges(ranges)
    GC.@preserve roots check(err -> s3dlio_reader_readv_at(r, list, length(list), err))
    return Int[range.bytes_read for range in list]
end

"""
    S3dlio.expect_crc32c(reader, crc)

Makes the sequential read that starts at 0 and reaches the end fail (`ERR_CHECKSUM_MISMATCH`) unless
the plain bytes have this CRC32C. Call it before the first read.
"""
expect_crc32c(r::Reader, crc::Integer) =
    (check(err -> s3dlio_reader_expect_crc32c(r, UInt32(crc), err)); nothing)

# One read of the library's, behind the block: 0 bytes only at the end.
function read_raw(r::Reader, at::Ptr{UInt8}, bytes::Integer)
    got = Ref{Csize_t}(0)
    status = check(err -> s3dlio_reader_read(r, convert(Ptr{Cvoid}, at), bytes, got, err))
    r.ended = status == S3DLIO_END
    r.block_end += got[]
    return Int(got[])
end

function fill_block(r::Reader)
    forget_block(r)
    isempty(r.block) && resize!(r.block, READ_BLOCK)
    while r.filled == 0 && !r.ended
        r.filled = GC.@preserve r read_raw(r, pointer(r.block), length(r.block))
    end
end

forget_block(r::Reader) = (r.at = r.filled = 0; nothing)

Base.bytesavailable(r::Reader) = r.filled - r.at

function Base.eof(r::Reader)
    bytesavailable(r) > 0 && return false
    isopen(r) || throw(closed("Reader"))
    r.ended || fill_block(r)
    return bytesavailable(r) == 0
end

function Base.read(r::Reader, ::Type{UInt8})
    eof(r) && throw(EOFError())
    r.at += 1
    return r.block[r.at]
end

function Base.peek(r::Reader, ::Type{UInt8})
    eof(r) && throw(EOFError())
    return r.block[r.at+1]
end

# Reads until `bytes` are there or the object ends.
function read_some(r::Reader, to::Ptr{UInt8}, bytes::Int)
    done = 0
    while done < bytes
        have = bytesavailable(r)
        if have > 0
            n = min(have, bytes - done)
            GC.@preserve r unsafe_copyto!(to + done, pointer(r.block, r.at + 1), n)
            r.at += n
            done += n
        elseif r.ended
            break
        elseif bytes - done >= READ_BLOCK
            forget_block(r)
            done += read_raw(r, to + done, bytes - done)
        else
            fill_block(r)
        end
    end
    return done
end

function Base.unsafe_read(r::Reader, to::Ptr{UInt8}, bytes::UInt)
    isopen(r) || throw(closed("Reader"))
    read_some(r, to, Int(bytes)) == bytes || throw(EOFError())
    return nothing
end

function Base.readbytes!(r::Reader, to::AbstractVector{UInt8}, bytes = length(to))
    isopen(r) || throw(closed("Reader"))
    wanted = Int(min(bytes, typemax(Int)))
    done = 0
    while done < wanted
        if done == length(to)
            eof(r) && break
            resize!(to, min(wanted, max(2 * done, READ_BLOCK)))   # grows as Base's does
        end
        n = min(length(to), wanted) - done
        root, at, _ = memory(to)
        got = GC.@preserve root read_some(r, convert(Ptr{UInt8}, at) + done, n)
        done += got
        got < n && break
    end
    return done
end

function Base.read(r::Reader)
    left = try
        max(0, filesize(r) - position(r))
    catch e
        e isa S3dlioException && e.code == ERR_UNSUPPORTED || rethrow()
        READ_BLOCK                          # a compressed object that does not tell its size
    end
    bytes = Vector{UInt8}(undef, left)
    return resize!(bytes, readbytes!(r, bytes, typemax(Int)))
end

Base.read(r::Reader, bytes::Integer) =
    (to = Vector{UInt8}(undef, min(bytes, READ_BLOCK)); resize!(to, readbytes!(r, to, bytes)))

function Base.readavailable(r::Reader)
    eof(r)
    return read(r, bytesavailable(r))
end

Base.position(r::Reader) = r.block_end - bytesavailable(r)

function Base.seek(r::Reader, position::Integer)
    start = r.block_end - r.filled
    if start <= position < r.block_end && isopen(r)   # within the block
        r.at = position - start
        return r
    end
    -1 < position <= typemax(Int64) || throw(S3dlioException(ERR_INVALID_ARGUMENT,
        "the position is $position; expected 0 or more, below 2^63"))
    return seek_raw(r, position, S3DLIO_SEEK_SET)
end

Base.seekend(r::Reader) = seek_raw(r, 0, S3DLIO_SEEK_END)
Base.skip(r::Reader, bytes::Integer) = seek(r, Base.checked_add(position(r), Int64(bytes)))

function seek_raw(r::Reader, offset, whence)
    now = checked((out, err) -> s3dlio_reader_seek(r, offset, whence, out, err), UInt64)
    forget_block(r)
    r.block_end = now
    r.ended = false
    return r
end
