# Saving checkpoints: the ranks of a job, tensors, one rank's part of a save, its streamed shards.

"""
    World()

This process's place in a job, as its launcher says it in environment variables (torchrun, Open MPI,
MPICH and others with PMI, Slurm): `rank` and `world_size`, `local_rank` and `local_world_size`,
`launcher`, and `run_id`, which all ranks of this launch share and no other launch does ("" where the
launcher has no such thing). Without a launcher it is `ERR_NOT_FOUND`.
"""
struct World
    rank::Int
    world_size::Int
    local_rank::Int
    local_world_size::Int
    launcher::String
    run_id::String
end

function World()
    c = checked(s3dlio_world) do out, err
        s3dlio_world_detect(out, sizeof(s3dlio_world), err)
    end
    field(bytes) = String(UInt8[bytes[i] for i in 1:something(findfirst(iszero, bytes), length(bytes) + 1)-1])
    return World(c.rank, c.world_size, c.local_rank, c.local_world_size, field(c.launcher), field(c.run_id))
end

# Element types and their names in a checkpoint. Julia has no types for the last ones: their bits.
const DTYPES = Dict{String,DataType}("BOOL" => Bool, "U8" => UInt8, "I8" => Int8, "U16" => UInt16,
    "I16" => Int16, "F16" => Float16, "U32" => UInt32, "I32" => Int32, "F32" => Float32, "U64" => UInt64,
    "I64" => Int64, "F64" => Float64, "C64" => ComplexF32, "BF16" => UInt16, "F8_E5M2" => UInt8,
    "F8_E4M3" => UInt8)
const DTYPE_NAMES = Dict{DataType,String}(type => name for (name, type) in DTYPES
    if !(name in ("BF16", "F8_E5M2", "F8_E4M3")))

invalid(message) = S3dlioException(ERR_INVALID_ARGUMENT, message)

dtype_name(::Type{T}) where {T} = Base.get(DTYPE_NAMES, T) do
    throw(invalid("elements of type $T have no name in a checkpoint; expected one of " *
        join(sort!(string.(keys(DTYPE_NAMES))), ", ")))
end

"""
    Tensor(name, array; whole = nothing, at = nothing, replicated = false, dtype = nothing)

An array to be saved. Where it is a box of a larger one, `whole` is the size of that one and `at` are the
ranges in it: `array == larger[at...]`. `replicated` says that every rank gives the same array; one of them
stores it. `dtype` names the type where Julia has none: `"BF16"` for an array of `UInt16` bits.

In a checkpoint the last index runs fastest, in Julia the first one. So an array of size `(a, b, c)` is
an entry of shape `[c, b, a]`, without a copy, and comes back as it was.
"""
struct Tensor
    name::String
    array::AbstractArray
    dtype::String
    whole::Union{Dims,Nothing}
    at::Union{Tuple,Nothing}
    replicated::Bool
end

function Tensor(name::AbstractString, array::AbstractArray; whole = nothing, at = nothing,
        replicated::Bool = false, dtype::Union{AbstractString,Nothing} = nothing)
    (whole === nothing) == (at === nothing) ||
        throw(invalid("tensor $(repr(name)) has one of whole and at; expected both or none"))
    named = dtype === nothing ? dtype_name(eltype(array)) : String(dtype)
    ranges = at === nothing ? nothing : box(name, whole, at)
    ranges === nothing || length.(ranges) == size(array) ||
        throw(invalid("tensor $(repr(name)) has size $(size(array)), but its place $at has size $(length.(ranges))"))
    return Tensor(String(name), array, named, whole === nothing ? nothing : Dims(whole), ranges, replicated)
end

# Ranges in an array of this size, one per axis.
function box(name, whole, at)
    length(at) == length(whole) ||
        throw(invalid("$(repr(name)) has $(length(whole)) axes, but $(length(at)) ranges were given"))
    return map(Tuple(at), Tuple(whole)) do range, side
        range isa Colon && return 1:Int(side)
        range isa Integer && (range = range:range)
        range isa AbstractUnitRange || throw(invalid("$(repr(name)): $range is no range of neighbouring indices"))
        isempty(range) || (first(range) >= 1 && last(range) <= side) ||
            throw(S3dlioException(ERR_RANGE, "$(repr(name)): the range $range is not within 1:$side"))
        return UnitRange{Int}(range)
    end
end

# Numbers of the axes as C has them: the first one here is the last one there.
axes_of(numbers) = UInt64[n for n in reverse(collect(numbers))]
starts_of(ranges) = axes_of(isempty(r) ? 0 : first(r) - 1 for r in ranges)
none_or_pointer(v::Vector) = isempty(v) ? Ptr{UInt64}(C_NULL) : pointer(v)

tensor_of(t::Tensor) = t
tensor_of(pair::Pair) = Tensor(pair.first, pair.second)

# The C form of tensors, with what keeps it alive.
function ctensors(tensors)
    roots = Any[]
    list = s3dlio_tensor[]
    for given in (tensors isa Union{Tensor,Pair} ? (tensors,) : tensors)
        t = tensor_of(given)
        root, at, bytes = memory(t.array)
        name = ctext(t.name, ERR_INVALID_ARGUMENT, "a tensor's name")
        dtype = ctext(t.dtype, ERR_INVALID_ARGUMENT, "a tensor's dtype")
        shape = axes_of(size(t.array))
        whole = t.whole === nothing ? UInt64[] : axes_of(t.whole)
        start = t.at === nothing ? UInt64[] : starts_of(t.at)
        push!(roots, root, name, dtype, shape, whole, start)
        push!(list, s3dlio_tensor(Base.unsafe_convert(Cstring, name), Base.unsafe_convert(Cstring, dtype),
            pointer(shape), none_or_pointer(whole), none_or_pointer(start), length(shape),
            t.replicated ? S3DLIO_TENSOR_REPLICATED : 0, at, bytes))
    end
    return list, roots
end

"""
    CheckpointWriter(store, step, settings...; rank = 0, world_size = 1, id, run_id, epoch, framework, metadata, keywords...)
    CheckpointWriter(store, step, world::World, settings...; ...)
    CheckpointWriter(store, step, ...; ...) do writer ... end

One rank's part of one save. Nothing is visible before rank 0's `S3dlio.commit`. With a `do` block it is
committed after it, or aborted if the block throws. A writer that is closed or collected before
`S3dlio.finish` (on rank 0: before `S3dlio.commit`) aborts, in the background.

Several ranks agree on the save by rank 0's `S3dlio.id(writer)`, which the host broadcasts (`id`), or
through the storage, by a `run_id` that all ranks of this launch share and no other launch has.
`S3dlio.commit` on every rank waits through the storage too; a host with a barrier of its own calls
`S3dlio.finish` everywhere, its barrier, and `S3dlio.commit` on rank 0.

`epoch`, `framework` and `metadata` (text to text) are kept with the checkpoint. Settings and other
keywords are [`Options`](@ref) on top of the store's. One task at a time.
"""
mutable struct CheckpointWriter
    handle::Ptr{s3dlio_checkpoint_writer}
    id::String
    CheckpointWriter(handle::Ptr{s3dlio_checkpoint_writer}) =
        finalizer(free, new(handle, text(s3dlio_checkpoint_writer_id(handle))))
end

function CheckpointWriter(s::Store, step::Integer, settings...; rank::Integer = 0, world_size::Integer = 1,
        id = nothing, run_id = nothing, epoch = nothing, framework::AbstractString = "", metadata = (), keywords...)
    options = options_of(settings, keywords)
    plain(value, what) = ctext(value, ERR_INVALID_ARGUMENT, what)
    small(n, what) = 0 <= n <= typemax(UInt32) ? UInt32(n) : throw(invalid("$what is $n; expected 0 or more, below 2^32"))
    optional(value, what) = value === nothing || isempty(value) ? nothing : plain(value, what)
    texts = Any[optional(id, "the id"), optional(run_id, "the run_id"), plain(framework, "the framework")]
    pairs = s3dlio_key_value[]
    cstring(t) = t === nothing ? Cstring(C_NULL) : Base.unsafe_convert(Cstring, t)
    for (name, value) in metadata
        both = plain(string(name), "a metadata name"), plain(string(value), "a metadata value")
        push!(texts, both...)
        push!(pairs, s3dlio_key_value(cstring.(both)...))
    end
    params = Ref(s3dlio_checkpoint_params(cunsigned(step, "the step"), epoch === nothing ? 0 : cunsigned(epoch, "the epoch"),
        epoch === nothing ? 0 : 1, small(rank, "the rank"), small(world_size, "the world size"), 0, cstring(texts[1]),
        cstring(texts[2]), cstring(texts[3]), isempty(pairs) ? C_NULL : pointer(pairs), length(pairs)))
    return GC.@preserve texts pairs CheckpointWriter(checked(Ptr{s3dlio_checkpoint_writer}) do out, err
        s3dlio_checkpoint_writer_open(s, options, params, sizeof(s3dlio_checkpoint_params), out, err)
    end)
end

CheckpointWriter(s::Store, step::Integer, world::World, settings...; keywords...) =
    CheckpointWriter(s, step, settings...; rank = world.rank, world_size = world.world_size, run_id = world.run_id, keywords...)

function CheckpointWriter(f::Function, s::Store, step::Integer, settings...; keywords...)
    w = CheckpointWriter(s, step, settings...; keywords...)
    try
        result = f(w)
        commit(w)
        return result
    catch
        give_up(w)
        rethrow()
    finally
        free(w)
    end
end

# Also the finalizer: C aborts what is unfinished in the background.
function free(w::CheckpointWriter)
    handle = w.handle
    w.handle = C_NULL
    handle == C_NULL || s3dlio_checkpoint_writer_free(handle)
    return nothing
end

# After an exception of the caller's: that one is reported, whatever becomes of the abort.
function give_up(w::CheckpointWriter)
    isopen(w) || return
    try
        check(err -> s3dlio_checkpoint_writer_abort(w, err))
    catch e
        e isa S3dlioException && e.status == "invalid_state" && return     # it is committed
        @warn "S3dlio: aborting the save $(w.id) failed" exception = e
    end
end

function Base.unsafe_convert(::Type{Ptr{s3dlio_checkpoint_writer}}, w::CheckpointWriter)
    w.handle == C_NULL && throw(closed("CheckpointWriter"))
    return w.handle
end

Base.isopen(w::CheckpointWriter) = w.handle != C_NULL
Base.close(w::CheckpointWriter) = free(w)
Base.show(io::IO, w::CheckpointWriter) = print(io, "CheckpointWriter(", w.id, isopen(w) ? ")" : ", closed)")

"The save's id, the same on all ranks."
id(w::CheckpointWriter) = w.id

cshard(name) = ctext(name, ERR_INVALID_ARGUMENT, "the shard's name")

"""
    S3dlio.put_tensors(writer, tensors; shard = "data")

Stores arrays as one shard, a safetensors file, without copying them. `tensors` are `name => array` pairs, a
`Dict`, or [`Tensor`](@ref)s. A rank may write several shards; their names differ.
"""
function put_tensors(w::CheckpointWriter, tensors; shard::AbstractString = "data")
    shard = cshard(shard)
    list, roots = ctensors(tensors)
    GC.@preserve roots check(err -> s3dlio_checkpoint_writer_put_tensors(w, shard, pointer_to(list), length(list), err))
    return nothing
end

"""
    S3dlio.snapshot_tensors(writer, tensors; shard = "data")

Copies arrays and does no I/O: the caller may change them at once. `S3dlio.finish`, `S3dlio.commit` or
`S3dlio.acommit` store them.
"""
function snapshot_tensors(w::CheckpointWriter, tensors; shard::AbstractString = "data")
    shard = cshard(shard)
    list, roots = ctensors(tensors)
    GC.@preserve roots check(err -> s3dlio_checkpoint_writer_snapshot_tensors(w, shard, pointer_to(list), length(list), err))
    return nothing
end

"""
    S3dlio.snapshot_buffers(writer, tensors, buffers; shard = "data")

As [`S3dlio.snapshot_tensors`](@ref) without the copy: array `i` lies within the memory of the [`Buffer`](@ref)
`buffers[i]` (such as `reshape(reinterpret(Float32, buffer), 1000, :)`), and nothing in it changes until the save is
over. The buffers may be closed meanwhile.
"""
function snapshot_buffers(w::CheckpointWriter, tensors, buffers; shard::AbstractString = "data")
    shard = cshard(shard)
    list, roots = ctensors(tensors)
    length(buffers) == length(list) || throw(ArgumentError("$(length(list)) tensors lie in $(length(buffers)) buffers; expected one for each"))
    handles = Ptr{s3dlio_buffer}[buffer.handle for buffer in buffers]
    GC.@preserve roots buffers check(err -> s3dlio_checkpoint_writer_snapshot_buffers(
        w, shard, pointer_to(list), pointer(handles), length(list), err))
    return nothing
end

# A list's memory; never NULL, which would be a shard of plain bytes.
pointer_to(list::Vector{s3dlio_tensor}) = (isempty(list) && sizehint!(list, 1); pointer(list))

"`S3dlio.put_bytes(writer, data; shard = \"data\")`: stores text or bytes of any kind as one shard, for `S3dlio.read_shard`."
function put_bytes(w::CheckpointWriter, data::Data; shard::AbstractString = "data")
    shard = cshard(shard)
    root, at, bytes = memory(data)
    GC.@preserve root check(err -> s3dlio_checkpoint_writer_put_bytes(w, shard, at, bytes, err))
    return nothing
end

"`S3dlio.finish(checkpoint_writer)`: stores what is left of this rank's part; nothing can be added."
function finish(w::CheckpointWriter)
    check(err -> s3dlio_checkpoint_writer_finish(w, err))
    return nothing
end

"""
    S3dlio.commit(checkpoint_writer)

Finishes, and ends the save: rank 0 waits for all ranks and publishes the checkpoint; the others wait for
that. When it returns the checkpoint is there. After `ERR_TIMEOUT` (detail `missing_ranks`) it may be called
again.
"""
function commit(w::CheckpointWriter)
    check(err -> s3dlio_checkpoint_writer_commit(w, err))
    return nothing
end

"`S3dlio.abort(checkpoint_writer)`: gives the save up, removes what this rank stored, and closes the writer."
function abort(w::CheckpointWriter)
    isopen(w) || return nothing
    check(err -> s3dlio_checkpoint_writer_abort(w, err))
    return free(w)
end

"As `S3dlio.finish`; only the calling task waits."
afinish(w::CheckpointWriter) = GC.@preserve w awaited(took_nothing) do queue, token, op, err
    s3dlio_checkpoint_writer_finish_submit(w, queue, token, op, err)
end

"""
    S3dlio.acommit(checkpoint_writer)

As `S3dlio.commit`; only the calling task waits. `@async S3dlio.acommit(writer)` saves a snapshot in the
background. After an exception that was thrown into that task the save can only be aborted.
"""
acommit(w::CheckpointWriter) = GC.@preserve w awaited(took_nothing) do queue, token, op, err
    s3dlio_checkpoint_writer_commit_submit(w, queue, token, op, err)
end

"""
    S3dlio.open_shard(writer, tensors = nothing; shard = "data") -> CheckpointShard <: IO
    S3dlio.open_shard(writer, tensors = nothing; shard = "data") do io ... end

A shard that is written piece by piece, in constant memory. Without `tensors` it is bytes of any kind, such
as `Serialization.serialize` writes; else their bytes are expected one after the other, and `tensors` are
`name => (type, size)` pairs. It belongs to the save once it is finished or closed; with a `do` block that
throws, or collected unfinished, it does not.

`write`, `S3dlio.reserve` and `S3dlio.commit(shard, bytes)` work as with a [`Writer`](@ref).
"""
mutable struct CheckpointShard <: IO
    handle::Ptr{s3dlio_checkpoint_shard}
    reserved::Union{ForeignBytes,Nothing}
    finished::Bool
    CheckpointShard(handle::Ptr{s3dlio_checkpoint_shard}) = finalizer(free, new(handle, nothing, false))
end

function open_shard(w::CheckpointWriter, tensors = nothing; shard::AbstractString = "data")
    shard = cshard(shard)
    roots, list = Any[], s3dlio_tensor[]
    for (name, (type, dims)) in (tensors === nothing ? () : tensors isa Pair ? (tensors,) : tensors)
        name = ctext(name, ERR_INVALID_ARGUMENT, "a tensor's name")
        dtype = type isa AbstractString ? ctext(type, ERR_INVALID_ARGUMENT, "a tensor's dtype") : dtype_name(type)
        shape = axes_of(dims)
        push!(roots, name, dtype, shape)
        push!(list, s3dlio_tensor(Base.unsafe_convert(Cstring, name), Base.unsafe_convert(Cstring, dtype),
            pointer(shape), C_NULL, C_NULL, length(shape), 0, C_NULL, 0))
    end
    announced = tensors === nothing ? Ptr{s3dlio_tensor}(C_NULL) : pointer_to(list)
    return GC.@preserve roots list CheckpointShard(checked(Ptr{s3dlio_checkpoint_shard}) do out, err
        s3dlio_checkpoint_writer_open_shard(w, shard, announced, length(list), out, err)
    end)
end

function open_shard(f::Function, w::CheckpointWriter, tensors = nothing; shard::AbstractString = "data")
    io = open_shard(w, tensors; shard = shard)
    try
        result = f(io)
        close(io)
        return result
    finally
        free(io)
    end
end

function free(s::CheckpointShard)
    handle = s.handle
    s.handle = C_NULL
    withdraw(s)
    handle == C_NULL || s3dlio_checkpoint_shard_free(handle)
    return nothing
end

function withdraw(s::CheckpointShard)
    r = s.reserved
    s.reserved = nothing
    r === nothing || (r.data = C_NULL; r.length = 0)
    return nothing
end

function Base.unsafe_convert(::Type{Ptr{s3dlio_checkpoint_shard}}, s::CheckpointShard)
    s.handle == C_NULL && throw(closed("CheckpointShard"))
    return s.handle
end

Base.isopen(s::CheckpointShard) = s.handle != C_NULL
Base.isreadable(::CheckpointShard) = false
Base.iswritable(s::CheckpointShard) = isopen(s)
Base.eof(::CheckpointShard) = true
Base.show(io::IO, s::CheckpointShard) = print(io, "CheckpointShard(", isopen(s) ? "open)" : "closed)")

function Base.unsafe_write(s::CheckpointShard, from::Ptr{UInt8}, bytes::UInt)
    withdraw(s)
    check(err -> s3dlio_checkpoint_shard_write(s, convert(Ptr{Cvoid}, from), bytes, err))
    return Int(bytes)
end

Base.write(s::CheckpointShard, byte::UInt8) =
    (r = Ref(byte); GC.@preserve r unsafe_write(s, Base.unsafe_convert(Ptr{UInt8}, r), UInt(1)))

function reserve(s::CheckpointShard, min_size::Integer)
    withdraw(s)
    wanted = cunsigned(min_size, "the size")
    capacity = Ref{Csize_t}(0)
    data = checked(Ptr{Cvoid}) do out, err
        s3dlio_checkpoint_shard_reserve(s, wanted, out, capacity, err)
    end
    s.reserved = Reservation(convert(Ptr{UInt8}, data), Int(capacity[]), s)
    return s.reserved
end

function commit(s::CheckpointShard, bytes::Integer)
    count = cunsigned(bytes, "the size")
    check(err -> s3dlio_checkpoint_shard_commit(s, count, err))
    withdraw(s)
    return nothing
end

"`S3dlio.finish(shard) -> WriteStats`: stores what is left; the shard belongs to its save."
function finish(s::CheckpointShard)
    withdraw(s)
    stats = WriteStats(checked(s3dlio_write_stats) do out, err
        s3dlio_checkpoint_shard_finish(s, out, sizeof(s3dlio_write_stats), err)
    end)
    s.finished = true
    return stats
end

"Finishes what is unfinished and gives the shard back; closing twice is allowed."
function Base.close(s::CheckpointShard)
    isopen(s) || return nothing
    try
        s.finished || finish(s)
    finally
        free(s)
    end
    return nothing
end
