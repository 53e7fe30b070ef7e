# Loading and keeping checkpoints.

"""
    Checkpoint(store, step = nothing, settings...; id = nothing, keywords...)

A committed checkpoint: of a step, of an id, or the latest one, whatever the number of ranks that saved
it. `ERR_NOT_FOUND` where there is none.

    checkpoint["weights"]                              # the whole array
    S3dlio.load(checkpoint, "weights", :, 1:100)       # a box of it
    S3dlio.load!(checkpoint, "weights" => array, ("bias", 1:10) => other)

`keys(checkpoint)` are the entries' names. Any number of tasks and threads may use one.
"""
mutable struct Checkpoint
    handle::Ptr{s3dlio_checkpoint}
    Checkpoint(handle::Ptr{s3dlio_checkpoint}) = finalizer(free, new(handle))
end

function Checkpoint(s::Store, step::Union{Integer,Nothing} = nothing, settings...; id = nothing, keywords...)
    options = options_of(settings, keywords)
    step === nothing || id === nothing || throw(invalid("a step and an id were given; expected one of them"))
    wanted = step === nothing ? S3DLIO_LATEST : cunsigned(step, "the step")
    name = id === nothing ? "" : ctext(id, ERR_INVALID_ARGUMENT, "the id")
    return Checkpoint(checked(Ptr{s3dlio_checkpoint}) do out, err
        id === nothing ? s3dlio_checkpoint_open(s, options, wanted, out, err) :
            s3dlio_checkpoint_open_id(s, options, name, out, err)
    end)
end

function free(c::Checkpoint)
    handle = c.handle
    c.handle = C_NULL
    handle == C_NULL || s3dlio_checkpoint_free(handle)
    return nothing
end

function Base.unsafe_convert(::Type{Ptr{s3dlio_checkpoint}}, c::Checkpoint)
    c.handle == C_NULL && throw(closed("Checkpoint"))
    return c.handle
end

Base.close(c::Checkpoint) = free(c)
Base.isopen(c::Checkpoint) = c.handle != C_NULL
Base.show(io::IO, c::Checkpoint) = print(io, "Checkpoint(", isopen(c) ? repr(info(c).uri) : "closed", ")")

raw_info(c::Checkpoint) = checked(s3dlio_checkpoint_info) do out, err
    s3dlio_checkpoint_get_info(c, out, sizeof(s3dlio_checkpoint_info), err)
end

"""
    S3dlio.info(checkpoint)

A named tuple: `step`, `epoch` (or `nothing`), `world_size`, `id`, `framework`, `created` (RFC 3339 text),
`strategy`, `uri` (of the manifest), `bytes` and `stored_bytes` of all shards.
"""
info(c::Checkpoint) = GC.@preserve c begin
    i = raw_info(c)
    (step = Int(i.step), epoch = i.has_epoch == 0 ? nothing : Int(i.epoch), world_size = Int(i.world_size), id = text(i.id),
        framework = text(i.framework), created = text(i.created), strategy = text(i.strategy), uri = text(i.uri),
        bytes = Int64(i.bytes), stored_bytes = Int64(i.stored_bytes))
end

"`S3dlio.metadata(checkpoint) -> Dict`: the caller's own facts, as they were saved."
function metadata(c::Checkpoint)
    found = Dict{String,String}()
    name, value = Ref{Cstring}(C_NULL), Ref{Cstring}(C_NULL)
    GC.@preserve c for i in 1:raw_info(c).metadata_count
        check(err -> s3dlio_checkpoint_metadata(c, i - 1, name, value, err))
        found[text(name[])] = text(value[])
    end
    return found
end

"""
    S3dlio.entries(checkpoint)

Of each entry a named tuple: `name`, `type` (of Julia's arrays), `dtype` (its name in the checkpoint), `size`
(of Julia's array), `bytes`, and in how many `parts` it is stored.
"""
entries(c::Checkpoint) = [entry_at(c, i - 1) for i in 1:raw_info(c).entry_count]

"`S3dlio.entry(checkpoint, name)`: one of `S3dlio.entries`; `ERR_NOT_FOUND` where there is none of this name."
function entry(c::Checkpoint, name::AbstractString)
    name = ctext(name, ERR_INVALID_ARGUMENT, "the entry's name")
    return entry_at(c, checked((out, err) -> s3dlio_checkpoint_find(c, name, out, err), Csize_t))
end

entry_at(c::Checkpoint, index) = GC.@preserve c begin
    e = checked(s3dlio_entry_info) do out, err
        s3dlio_checkpoint_entry(c, index, out, sizeof(s3dlio_entry_info), err)
    end
    dtype = text(e.dtype)
    (name = text(e.name), type = Base.get(DTYPES, dtype, Nothing), dtype = dtype,
        size = Tuple(Int(unsafe_load(e.shape, i)) for i in e.ndim:-1:1), bytes = Int64(e.bytes), parts = Int(e.parts))
end

Base.keys(c::Checkpoint) = [e.name for e in entries(c)]
Base.length(c::Checkpoint) = Int(raw_info(c).entry_count)
function Base.haskey(c::Checkpoint, name::AbstractString)
    try
        entry(c, name)
        return true
    catch e
        e isa S3dlioException && e.status == "not_found" || rethrow()
        return false
    end
end

"`S3dlio.shards(checkpoint)`: of each shard a named tuple `rank, kind, name, key, size, stored_size, crc32c, stored_crc32c`."
shards(c::Checkpoint) = GC.@preserve c map(1:raw_info(c).shard_count) do i
    s = checked(s3dlio_shard_info) do out, err
        s3dlio_checkpoint_shard_info(c, i - 1, out, sizeof(s3dlio_shard_info), err)
    end
    (rank = Int(s.rank), kind = s.kind == S3DLIO_SHARD_BYTES ? :bytes : :safetensors, name = text(s.name),
        key = text(s.key), size = Int64(s.size), stored_size = Int64(s.stored_size), crc32c = s.crc32c,
        stored_crc32c = s.stored_crc32c)
end

# The C form of requests `name => array` and `(name, ranges...) => array`, with what keeps it alive.
function crequests(c::Checkpoint, requests, rank)
    roots, list = Any[], s3dlio_tensor_request[]
    for (what, array) in requests
        name, at = what isa Tuple ? (first(what), Base.tail(what)) : (what, nothing)
        e = entry(c, name)
        fits = eltype(array) == e.type || sizeof(eltype(array)) == sizeof(e.type) && eltype(array) <: Unsigned
        fits || throw(invalid("$(repr(name)) has elements of $(e.dtype), which do not go into an array of $(eltype(array))"))
        ranges = box(name, e.size, at === nothing ? map(_ -> Colon(), e.size) : at)
        length.(ranges) == size(array) ||
            throw(invalid("$(repr(name)): a box of size $(length.(ranges)) does not go into an array of size $(size(array))"))
        root, place, bytes = memory(array)
        name = ctext(name, ERR_INVALID_ARGUMENT, "the entry's name")
        start, shape = starts_of(ranges), axes_of(length.(ranges))
        push!(roots, root, name, start, shape)
        push!(list, s3dlio_tensor_request(Base.unsafe_convert(Cstring, name), none_or_pointer(start), none_or_pointer(shape),
            length(shape), 0, rank === nothing ? -1 : rank, place, bytes))
    end
    return list, roots
end

"""
    S3dlio.load!(checkpoint, requests...; rank = nothing)

Loads entries into arrays, without copies in between: `name => array` the whole entry,
`(name, ranges...) => array` the box of these ranges, which is `entry[ranges...]`. The more in one call, the
fewer reads. `rank` takes only what that rank stored, for entries whose contents differ between the ranks.
"""
function load!(c::Checkpoint, requests::Pair...; rank::Union{Integer,Nothing} = nothing)
    list, roots = crequests(c, requests, rank)
    GC.@preserve roots check(err -> s3dlio_checkpoint_load(c, list, length(list), err))
    return nothing
end

"As `S3dlio.load!`; only the calling task waits."
function aload!(c::Checkpoint, requests::Pair...; rank::Union{Integer,Nothing} = nothing)
    list, roots = crequests(c, requests, rank)
    return GC.@preserve roots list awaited(took_nothing) do queue, token, op, err
        s3dlio_checkpoint_load_submit(c, list, length(list), queue, token, op, err)
    end
end

"""
    S3dlio.load(checkpoint, name, ranges...; rank = nothing) -> Array

An entry, or the box of these ranges of it. `checkpoint[name]` is the same. Types that Julia does not have
come as their bits: BF16 as `UInt16`, F8 as `UInt8`.
"""
function load(c::Checkpoint, name::AbstractString, ranges...; rank::Union{Integer,Nothing} = nothing)
    e = entry(c, name)
    at = isempty(ranges) ? map(_ -> Colon(), e.size) : ranges
    array = Array{e.type}(undef, length.(box(name, e.size, at))...)
    load!(c, (name, at...) => array; rank = rank)
    return array
end

Base.getindex(c::Checkpoint, name::AbstractString, ranges...) = load(c, name, ranges...)

"`S3dlio.read_shard(checkpoint, rank, shard = \"data\") -> Buffer`: a whole shard, decompressed and checked."
function read_shard(c::Checkpoint, rank::Integer, shard::AbstractString = "data")
    0 <= rank <= typemax(UInt32) || throw(invalid("the rank is $rank; expected 0 or more"))
    shard = cshard(shard)
    return Buffer(checked(Ptr{s3dlio_buffer}) do out, err
        s3dlio_checkpoint_read_shard(c, UInt32(rank), shard, out, err)
    end)
end

"`S3dlio.validate(checkpoint; deep = false)`: every shard is there and has its size; `deep` reads and checks every byte."
function validate(c::Checkpoint; deep::Bool = false)
    check(err -> s3dlio_checkpoint_validate(c, UInt32(deep), err))
    return nothing
end

"`S3dlio.checkpoints(store)`: the steps of all committed checkpoints, ascending."
function checkpoints(s::Store)
    steps = Vector{UInt64}(undef, 64)
    while true
        count = checked((out, err) -> s3dlio_checkpoint_list(s, steps, length(steps), out, err), Csize_t)
        all = count <= length(steps)
        resize!(steps, count)
        all && return Int[step for step in steps]
    end
end

"`S3dlio.delete_checkpoint(store, step)`; `ERR_NOT_FOUND` where there is none."
function delete_checkpoint(s::Store, step::Integer)
    wanted = cunsigned(step, "the step")
    check(err -> s3dlio_checkpoint_delete(s, wanted, err))
    return nothing
end

"""
    S3dlio.prune_checkpoints(store, keep_last; keep_every = 0) -> checkpoints deleted

Deletes all but the last ones and, where `keep_every` is not 0, those whose step is a multiple of it.
"""
function prune_checkpoints(s::Store, keep_last::Integer; keep_every::Integer = 0)
    last, every = cunsigned(keep_last, "keep_last"), cunsigned(keep_every, "keep_every")
    return Int(checked((out, err) -> s3dlio_checkpoint_prune(s, last, every, out, err), Csize_t))
end

"""
    S3dlio.collect_checkpoints(store, min_age_seconds) -> saves removed

Removes what saves left that were never committed, where all of it is older: choose more than the longest
save takes.
"""
function collect_checkpoints(s::Store, min_age_seconds::Real)
    age = cunsigned(ceil(Int64, 1000 * min_age_seconds), "the age")
    return Int(checked((out, err) -> s3dlio_checkpoint_collect(s, age, out, err), Csize_t))
end
