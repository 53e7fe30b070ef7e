# Synthetic data.

cgenerate(seed, dedupe, compress, block_size, threads) = Ref(s3dlio_generate_params(cunsigned(seed, "seed"), dedupe, compress,
    cunsigned(block_size, "block_size"), UInt32(threads), 0))

"""
    S3dlio.generate!(array, object = 0, offset = 0; seed = 0, dedupe = 1, compress = 1, block_size = 0, threads = 0) -> array

Fills an array with the bytes of the object of this number from `offset` (in bytes, from 0) on: the same ones whenever
and wherever. Of `dedupe` blocks of `block_size` bytes (0: 4096) one is new; zstd makes 1 / `compress` of them.
"""
function generate!(array::AbstractArray, object::Integer = 0, offset::Integer = 0; seed::Integer = 0, dedupe::Real = 1,
        compress::Real = 1, block_size::Integer = 0, threads::Integer = 0)
    params = cgenerate(seed, dedupe, compress, block_size, threads)
    number, from = cunsigned(object, "the object"), coffset(offset)
    root, at, bytes = memory(array)
    GC.@preserve root check(err -> s3dlio_generate(params, sizeof(s3dlio_generate_params), number, from, at, bytes, err))
    return array
end

"""
    S3dlio.generate_object(format, object = 0; count = 0, record_size = 0, dtype = "U8", shape = (), name = "", seed, ...) -> Buffer

A whole object: `:raw`, `:tar` or `:tfrecord` of `count` records of `record_size` bytes; `:npz` or `:hdf5` of one array in
row-major order. Other keywords are those of [`S3dlio.generate!`](@ref).
"""
function generate_object(format::Symbol, object::Integer = 0; count::Integer = 0, record_size::Integer = 0,
        dtype::AbstractString = "U8", shape = (), name::AbstractString = "", seed::Integer = 0, dedupe::Real = 1,
        compress::Real = 1, block_size::Integer = 0, threads::Integer = 0)
    params = cgenerate(seed, dedupe, compress, block_size, threads)
    number = cunsigned(object, "the object")
    type, called = ctext(dtype, ERR_INVALID_ARGUMENT, "the dtype"), ctext(name, ERR_INVALID_ARGUMENT, "the name")
    axes = UInt64[cunsigned(n, "an axis") for n in shape]
    GC.@preserve type called axes begin
        what = Ref(s3dlio_generate_object_params(cformat(format), length(axes), Base.unsafe_convert(Cstring, type), pointer(axes),
            cunsigned(count, "count"), cunsigned(record_size, "record_size"), Base.unsafe_convert(Cstring, called)))
        return Buffer(checked(Ptr{s3dlio_buffer}) do out, err
            s3dlio_generate_object(params, sizeof(s3dlio_generate_params), what, sizeof(s3dlio_generate_object_params), number, out, err)
        end)
    end
end
