# File formats as bytes, without I/O: TFRecord and its indexes, tar, NPY, NPZ and HDF5.

# Makes `file` longer by what `write(pointer, capacity, written, err)` writes, at most `most` bytes.
function append_bytes!(write, file::Vector{UInt8}, most::Integer)
    before, written = length(file), Ref{Csize_t}(0)
    resize!(file, before + most)
    try
        GC.@preserve file check(err -> write(pointer(file, before + 1), most, written, err))
    finally
        resize!(file, before + Int(written[]))
    end
    return file
end

"""
    S3dlio.tfrecord(records) -> Vector{UInt8}

A TFRecord file of these records, each of them text or an array.
"""
function tfrecord(records)
    file = UInt8[]
    for record in records
        root, at, bytes = memory(record)
        GC.@preserve root append_bytes!(file, bytes + 16) do to, capacity, written, err
            s3dlio_tfrecord_append(at, bytes, to, capacity, written, err)
        end
    end
    return file
end

# All pieces that `find(places, capacity, count, err)` finds, of which there are at most `most`.
function extents(find, most::Integer)
    found, count = Vector{s3dlio_extent}(undef, most), Ref{Csize_t}(0)
    GC.@preserve found check(err -> find(pointer(found), most, count, err))
    return [(offset = Int(e.offset), length = Int(e.length)) for e in view(found, 1:Int(count[]))]
end

"""
    S3dlio.tfrecord_records(data)

The records of a TFRecord file, or of any run of whole frames, as views of `data`; both checksums of each are checked.
"""
function tfrecord_records(data::AbstractVector{UInt8})
    root, at, bytes = memory(data)
    found = GC.@preserve root extents((to, capacity, count, err) ->
        s3dlio_tfrecord_parse(at, bytes, to, capacity, count, err), bytes ÷ 16)
    return [view(data, e.offset+1:e.offset+e.length) for e in found]
end

"""
    S3dlio.tfrecord_index(data; kind = :pairs) -> Buffer

The index of a TFRecord file, which is checked by the way: `:pairs` of 64-bit numbers, or the `:text` of DALI's tfrecord2idx.
"""
function tfrecord_index(data::AbstractVector{UInt8}; kind::Symbol = :pairs)
    kinds = (pairs = S3DLIO_INDEX_PAIRS, text = S3DLIO_INDEX_TEXT)
    haskey(kinds, kind) || throw(invalid("kind is :$kind; expected :pairs or :text"))
    root, at, bytes = memory(data)
    return GC.@preserve root Buffer(checked(Ptr{s3dlio_buffer}) do out, err
        s3dlio_tfrecord_index(at, bytes, kinds[kind], out, err)
    end)
end

"""
    S3dlio.tfrecord_frames(index; file_size = nothing)

Of each record's frame `(offset, length)`, as `S3dlio.get_range` takes them, out of an index of either kind. With the size of
the TFRecord file the index is held against it.
"""
function tfrecord_frames(index::AbstractVector{UInt8}; file_size::Union{Integer,Nothing} = nothing)
    size = file_size === nothing ? S3DLIO_TO_END : cunsigned(file_size, "file_size")
    root, at, bytes = memory(index)
    # No line of text is shorter than "0 16\n".
    return GC.@preserve root extents((to, capacity, count, err) ->
        s3dlio_tfrecord_index_parse(at, bytes, size, to, capacity, count, err), bytes ÷ 5)
end

"""
    S3dlio.tar(files) -> Vector{UInt8}

A tar archive of pairs `name => data`. Of WebDataset's samples the files follow each other and differ in what stands after the
first dot of the name.
"""
function tar(files)
    archive = UInt8[]
    for (name, data) in files
        name = ctext(name, ERR_INVALID_ARGUMENT, "the name of a file")
        root, at, bytes = memory(data)
        GC.@preserve root append_bytes!(archive, bytes + 8192) do to, capacity, written, err
            s3dlio_tar_append(name, at, bytes, to, capacity, written, err)
        end
    end
    return append_bytes!(archive, 8192) do to, capacity, written, err
        s3dlio_tar_append(Cstring(C_NULL), C_NULL, 0, to, capacity, written, err)
    end
end

# NumPy's names of the types that arrays are read as.
const NUMPY_TYPES = Dict{String,DataType}("|b1" => Bool, "|u1" => UInt8, "|i1" => Int8, "<u2" => UInt16, "<i2" => Int16,
    "<f2" => Float16, "<u4" => UInt32, "<i4" => Int32, "<f4" => Float32, "<u8" => UInt64, "<i8" => Int64, "<f8" => Float64,
    "<c8" => ComplexF32, "<c16" => ComplexF64)
const NUMPY_NAMES = Dict{DataType,String}(type => name for (name, type) in NUMPY_TYPES)

numpy_name(::Type{T}) where {T} = Base.get(NUMPY_NAMES, T) do
    throw(invalid("elements of type $T have no name in NumPy; expected one of $(join(sort!(string.(keys(NUMPY_NAMES))), ", "))"))
end

"""
    S3dlio.npy(array) -> Vector{UInt8}

An NPY file. There the last index runs fastest, in Julia the first one: an array of size `(a, b, c)` is one of shape
`(c, b, a)` to NumPy.
"""
function npy(array::AbstractArray)
    name, shape = numpy_name(eltype(array)), axes_of(size(array))
    root, at, bytes = memory(array)
    head = Buffer(checked((out, err) -> s3dlio_npy_head(name, 0, shape, length(shape), out, err), Ptr{s3dlio_buffer}))
    file = Vector{UInt8}(undef, length(head) + bytes)
    copyto!(file, head)
    GC.@preserve root file unsafe_copyto!(pointer(file, length(head) + 1), convert(Ptr{UInt8}, at), bytes)
    close(head)
    return file
end

"""
    S3dlio.npy_info(head, file_size = length(head))

What an NPY file of `file_size` bytes holds, by its first bytes (256 are mostly enough, else it is `ERR_BUFFER_TOO_SMALL`, detail
`required`): `descr` (NumPy's name of the type), `shape` (NumPy's), `fortran_order`, and `offset` and `length` of the
elements, in bytes.
"""
function npy_info(head::AbstractVector{UInt8}, file_size::Integer = length(head))
    whole = cunsigned(file_size, "file_size")
    root, at, bytes = memory(head)
    raw = GC.@preserve root checked(s3dlio_npy_info) do out, err
        s3dlio_npy_parse(at, bytes, whole, out, sizeof(s3dlio_npy_info), err)
    end
    descr = String(UInt8[byte for byte in raw.descr if byte != 0])
    return (descr = descr, shape = Tuple(Int(raw.shape[i]) for i in 1:raw.ndim), fortran_order = raw.fortran_order != 0,
        offset = Int(raw.data_offset), length = Int(raw.data_length))
end

"""
    S3dlio.npy_array(file) -> Array

The array of an NPY file, as `S3dlio.npy` was given it; where in the file the first index runs fastest, of NumPy's shape.
"""
function npy_array(file::AbstractVector{UInt8})
    info = npy_info(file)
    type = Base.get(NUMPY_TYPES, info.descr) do
        throw(S3dlioException(ERR_UNSUPPORTED, "an NPY file of \"$(info.descr)\"; expected one of $(join(sort!(collect(keys(NUMPY_TYPES))), ", "))"))
    end
    array = Array{type}(undef, info.fortran_order ? info.shape : reverse(info.shape))
    root, at, _ = memory(file)
    GC.@preserve root array unsafe_copyto!(convert(Ptr{UInt8}, pointer(array)), convert(Ptr{UInt8}, at) + info.offset, info.length)
    return array
end

# The C form of pairs `name => array`, written by `write(arrays, count, file, err)`.
function file_of(write, arrays)
    roots, given = Any[], s3dlio_array[]
    for (name, array) in arrays
        root, at, bytes = memory(array)
        name, type = ctext(name, ERR_INVALID_ARGUMENT, "the name of an array"), numpy_name(eltype(array))
        shape = axes_of(size(array))
        push!(roots, root, name, type, shape)
        push!(given, s3dlio_array(Base.unsafe_convert(Cstring, name), Base.unsafe_convert(Cstring, type), none_or_pointer(shape),
            length(shape), at, bytes))
    end
    return GC.@preserve roots Buffer(checked((out, err) -> write(given, length(given), out, err), Ptr{s3dlio_buffer}))
end

"""
    S3dlio.npz(arrays) -> Buffer

An NPZ file of pairs `name => array`, not compressed; of shapes see [`S3dlio.npy`](@ref). The same arrays make the same bytes.
"""
npz(arrays) = file_of(s3dlio_npz_write, arrays)

"""
    S3dlio.hdf5(arrays) -> Buffer

An HDF5 file of pairs `name => array` of integers and floats, each a contiguous dataset of the root group; of shapes see
[`S3dlio.npy`](@ref): HDF5.jl gives them as they were.
"""
hdf5(arrays) = file_of(s3dlio_hdf5_write, arrays)

"""
    S3dlio.npz_members(tail, file_size = length(tail))
    S3dlio.npz_members(reader)

The members of an NPZ file of `file_size` bytes, by its last bytes (65,536 are mostly enough, else it is `ERR_BUFFER_TOO_SMALL`,
detail `required`), or of a `Reader`, of which only the end is read. Of each a named tuple: `name` (with ".npy"), `offset` and
`length` (the bytes of the file that `S3dlio.npz_unpack` takes), `size` (unpacked), `packed`, `crc32`, `method`, `flags`.
"""
function npz_members(tail::AbstractVector{UInt8}, file_size::Integer = length(tail))
    whole = cunsigned(file_size, "file_size")
    root, at, bytes = memory(tail)
    members, count, owner = Ref{Ptr{s3dlio_npz_member}}(C_NULL), Ref{Csize_t}(0), Ref{Ptr{s3dlio_buffer}}(C_NULL)
    GC.@preserve root check(err -> s3dlio_npz_list(at, bytes, whole, members, count, owner, err))
    try
        return map(1:Int(count[])) do i
            m = unsafe_load(members[], i)
            (name = text(m.name), offset = Int(m.offset), length = Int(m.length), size = Int(m.size), packed = Int(m.packed),
                crc32 = m.crc32, method = Int(m.method), flags = m.flags)
        end
    finally
        s3dlio_buffer_free(owner[])
    end
end

function npz_members(file::Reader)
    size, tail = Int(filesize(file)), 65536
    while true
        tail = min(tail, size)
        data = zeros(UInt8, tail)
        read_at!(file, size - tail, data)
        try
            return npz_members(data, size)
        catch e
            e isa S3dlioException && e.status == "buffer_too_small" || rethrow()
            needed = parse(Int, e.details["required"])
            needed > tail || rethrow()
            tail = needed
        end
    end
end

"`S3dlio.npz_unpack(member, data) -> Buffer`: the NPY file that a member is, checked, out of the file's bytes that it names."
function npz_unpack(member::NamedTuple, data::AbstractVector{UInt8})
    name = ctext(member.name, ERR_INVALID_ARGUMENT, "the name of a member")
    root, at, bytes = memory(data)
    GC.@preserve root name begin
        given = Ref(s3dlio_npz_member(Base.unsafe_convert(Cstring, name), member.offset, member.length, member.size, member.packed,
            member.crc32, member.method, member.flags))
        return Buffer(checked((out, err) -> s3dlio_npz_unpack(given, at, bytes, out, err), Ptr{s3dlio_buffer}))
    end
end

"`S3dlio.npz_read(reader, member) -> Buffer`: the NPY file that a member is; only its bytes are read."
function npz_read(file::Reader, member::NamedTuple)
    data = zeros(UInt8, member.length)
    count = read_at!(file, member.offset, data)
    return npz_unpack(member, view(data, 1:count))
end
