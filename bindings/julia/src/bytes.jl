# Memory: the library's as Julia vectors, and Julia's as C memory.

"""
Bytes that live in the library's memory, usable as any `DenseVector{UInt8}`: indexing is checked,
`pointer`, `copyto!`, `write`, `reinterpret` and broadcasting work, and nothing is copied.
"""
abstract type ForeignBytes <: DenseVector{UInt8} end

# Both kinds have the fields `data::Ptr{UInt8}` and `length::Int`; once given up they are empty.
Base.size(b::ForeignBytes) = (getfield(b, :length),)
Base.IndexStyle(::Type{<:ForeignBytes}) = IndexLinear()
Base.elsize(::Type{<:ForeignBytes}) = 1
Base.strides(::ForeignBytes) = (1,)
Base.unsafe_convert(::Type{Ptr{UInt8}}, b::ForeignBytes) = b.data

Base.@propagate_inbounds function Base.getindex(b::ForeignBytes, i::Int)
    @boundscheck checkbounds(b, i)
    return GC.@preserve b unsafe_load(b.data, i)
end

Base.@propagate_inbounds function Base.setindex!(b::ForeignBytes, value, i::Int)
    @boundscheck checkbounds(b, i)
    GC.@preserve b unsafe_store!(b.data, convert(UInt8, value), i)
    return b
end

function Base.Vector{UInt8}(b::ForeignBytes)
    copied = Vector{UInt8}(undef, length(b))
    GC.@preserve b copied unsafe_copyto!(pointer(copied), b.data, length(b))
    return copied
end
Base.copy(b::ForeignBytes) = Vector{UInt8}(b)
Base.String(b::ForeignBytes) = GC.@preserve b unsafe_string(b.data, length(b))
Base.write(io::IO, b::ForeignBytes) = GC.@preserve b Int(unsafe_write(io, b.data, UInt(length(b))))

"""
    Buffer(size)

Memory of the library: aligned to 4096 bytes, kept in a pool for reuse, with whatever it held before.
`S3dlio.get` returns buffers; `S3dlio.write_buffer` takes one over without copying it.

`close(buffer)` gives the memory back at once instead of at the next garbage collection; after that
the buffer is empty, and pointers into it are invalid.
"""
mutable struct Buffer <: ForeignBytes
    handle::Ptr{s3dlio_buffer}
    data::Ptr{UInt8}
    length::Int

    function Buffer(handle::Ptr{s3dlio_buffer})
        size = s3dlio_buffer_size(handle)
        buffer = new(handle, convert(Ptr{UInt8}, s3dlio_buffer_data(handle)), Int(size))
        return finalizer(free, buffer)
    end
end

function Buffer(size::Integer)
    bytes = cunsigned(size, "the size")
    return Buffer(checked((out, err) -> s3dlio_buffer_new(bytes, out, err), Ptr{s3dlio_buffer}))
end

function free(b::Buffer)
    handle = forget(b)
    handle == C_NULL || s3dlio_buffer_free(handle)
    return nothing
end

# Empties the buffer without freeing the memory, which is now somebody else's.
function forget(b::Buffer)
    handle = b.handle
    b.handle, b.data, b.length = C_NULL, C_NULL, 0
    return handle
end

Base.close(b::Buffer) = free(b)
Base.unsafe_convert(::Type{Ptr{s3dlio_buffer}}, b::Buffer) = b.handle

# The text in a buffer that C made NUL-terminated.
take_text(handle::Ptr{s3dlio_buffer}) =
    try
        unsafe_string(convert(Ptr{UInt8}, s3dlio_buffer_data(handle)))
    finally
        s3dlio_buffer_free(handle)
    end

"What can be stored: text, or contiguous memory of plain values."
const Data = Union{AbstractString,AbstractArray}

"""
    memory(array) -> (root, pointer, bytes)

The memory of an array without copying it. Preserve `root` while `pointer` is used. Arrays whose
elements are no plain values or do not lie side by side are refused.
"""
function memory(a::AbstractArray)
    isbitstype(eltype(a)) || throw(ArgumentError(
        "elements of type $(eltype(a)) have no fixed bytes; expected numbers or other plain values"))
    contiguous(a) || throw(ArgumentError(
        "the memory of a $(typeof(a)) is not contiguous; pass an Array, a contiguous view, or `collect` it"))
    return a, convert(Ptr{Cvoid}, pointer(a)), sizeof(eltype(a)) * length(a)
end

contiguous(::DenseArray) = true
contiguous(a::StridedArray) = strides(a) == Base.size_to_strides(1, size(a)...)
contiguous(::AbstractArray) = false

function memory(s::AbstractString)
    s = String(s)
    return s, convert(Ptr{Cvoid}, pointer(s)), sizeof(s)
end

memory(s::Base.CodeUnits{UInt8,String}) = memory(s.s)
