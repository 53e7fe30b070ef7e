# Datasets, and batches of samples drawn from them.

const FORMATS = (objects = S3DLIO_FORMAT_OBJECTS, tar = S3DLIO_FORMAT_TAR, tfrecord = S3DLIO_FORMAT_TFRECORD,
    npz = S3DLIO_FORMAT_NPZ, fixed = S3DLIO_FORMAT_FIXED, hdf5 = S3DLIO_FORMAT_HDF5, raw = S3DLIO_FORMAT_RAW)

cformat(format::Symbol) = haskey(FORMATS, format) ? FORMATS[format] :
    throw(invalid("format is :$format; expected one of $(join(map(f -> ":$f", keys(FORMATS)), ", "))"))

"Bytes of a sample, in the library's memory: a `DenseVector{UInt8}` to be read. Keeps its batch alive."
mutable struct SampleBytes <: ForeignBytes
    data::Ptr{UInt8}
    length::Int
    batch::Any
end

Base.setindex!(::SampleBytes, value, ::Int) = throw(ReadOnlyMemoryError())

"""
One item with its bytes: `uri` of its object, `name` (the key in a tar file, the member of an NPZ file, a
record's number; empty for whole objects), `index` in the dataset's own order, counted from 1, `data`, and `fields`, pairs
of name and bytes of which `data` is the first: in tar files one for each extension. `sample["jpg"]` is one of them.
"""
struct Sample
    uri::String
    name::String
    index::Int
    fields::Vector{Pair{String,SampleBytes}}
end

Base.getproperty(s::Sample, name::Symbol) = name === :data ? getfield(s, :fields)[1].second : getfield(s, name)
Base.propertynames(::Sample) = (fieldnames(Sample)..., :data)

function Base.getindex(s::Sample, name::AbstractString)
    at = findfirst(field -> field.first == name, s.fields)
    at === nothing && throw(KeyError(name))
    return s.fields[at].second
end

Base.show(io::IO, s::Sample) =
    print(io, "Sample(", repr(s.uri), isempty(s.name) ? "" : " $(repr(s.name))", ", ", length(s.data), " bytes)")

"""
Samples with all their bytes: a vector of [`Sample`](@ref). `close(batch)` gives the memory back at once instead of at
the next garbage collection; bytes of its samples must not be used after that.
"""
mutable struct Batch <: AbstractVector{Sample}
    handle::Ptr{s3dlio_batch}
    Batch(handle::Ptr{s3dlio_batch}) = finalizer(free, new(handle))
end

function free(b::Batch)
    handle = b.handle
    b.handle = C_NULL
    handle == C_NULL || s3dlio_batch_free(handle)
    return nothing
end

Base.close(b::Batch) = free(b)
Base.unsafe_convert(::Type{Ptr{s3dlio_batch}}, b::Batch) = b.handle
Base.size(b::Batch) = (Int(s3dlio_batch_count(b)),)
Base.IndexStyle(::Type{Batch}) = IndexLinear()

function Base.getindex(b::Batch, i::Int)
    @boundscheck checkbounds(b, i)
    GC.@preserve b begin
        raw = unsafe_load(s3dlio_batch_samples(b), i)
        fields = map(1:raw.field_count) do at
            field = unsafe_load(raw.fields, at)
            text(field.name) => SampleBytes(convert(Ptr{UInt8}, field.data), Int(field.length), b)
        end
        return Sample(text(raw.uri), text(raw.name), Int(raw.index) + 1, fields)
    end
end

"""
    S3dlio.gather!(array, batch; field = 1) -> offsets

Copies one field of all samples into `array`, one after the other; gives the offsets in bytes, counted from 0, at which
each begins and, last, at which they end. An array that is too small is `ERR_BUFFER_TOO_SMALL`.
"""
function gather!(array::AbstractArray, b::Batch; field::Integer = 1)
    at = cunsigned(field - 1, "the field, less 1")
    offsets = Vector{UInt64}(undef, length(b) + 1)
    root, start, bytes = memory(array)
    GC.@preserve root check(err -> s3dlio_batch_gather(b, at, start, bytes, offsets, err))
    return Int.(offsets)
end

"""
    Dataset(uri, settings...; format = :objects, glob, regex, record_size, skip_bytes, index, member, keywords...)
    Dataset(uris, ...)
    S3dlio.manifest(path, ...)

What there is to draw samples from: objects below a URI, objects by their URIs (of whatever schemes), or those of a
manifest that [`S3dlio.write_manifest`](@ref) made. Formats: `:objects`, `:tar` (WebDataset, also `.tar.zst`),
`:tfrecord` (with `index = ".idx"` beside each file), `:npz` (`member`), `:fixed` (`record_size`, `skip_bytes`).
Settings and other keywords are [`Options`](@ref).

`length(dataset)` is `nothing` where that shows only when it is drawn; `S3dlio.index(dataset)` finds it out. Then
`dataset[i]` and `S3dlio.get_many(dataset, indices)` read single items, counted from 1.
"""
mutable struct Dataset
    handle::Ptr{s3dlio_dataset}
    Dataset(handle::Ptr{s3dlio_dataset}) = finalizer(free, new(handle))
end

function free(d::Dataset)
    handle = d.handle
    d.handle = C_NULL
    handle == C_NULL || s3dlio_dataset_free(handle)
    return nothing
end

function Base.unsafe_convert(::Type{Ptr{s3dlio_dataset}}, d::Dataset)
    d.handle == C_NULL && throw(closed("Dataset"))
    return d.handle
end

Base.close(d::Dataset) = free(d)
Base.isopen(d::Dataset) = d.handle != C_NULL
Base.show(io::IO, d::Dataset) = print(io, "Dataset(", isopen(d) ? "..." : "closed", ")")

# Calls f with the C parameters; their texts live as long as that.
function with_params(f; format::Symbol = :objects, glob = nothing, regex = nothing, record_size::Integer = 0,
        skip_bytes::Integer = 0, index = nothing, member = nothing, keywords...)
    texts = map((glob, regex, index, member)) do given
        given === nothing ? "" : ctext(given, ERR_INVALID_ARGUMENT, "a parameter")
    end
    GC.@preserve texts begin
        pointers = map(t -> isempty(t) ? Cstring(C_NULL) : Base.unsafe_convert(Cstring, t), texts)
        params = Ref(s3dlio_dataset_params(cformat(format), 0, pointers[1], pointers[2], cunsigned(record_size, "record_size"),
            cunsigned(skip_bytes, "skip_bytes"), pointers[3], pointers[4]))
        return f(params, keywords)
    end
end

Dataset(uri::AbstractString, settings...; given...) = with_params(; given...) do params, keywords
    uri, options = curi(uri), options_of(settings, keywords)
    Dataset(checked(Ptr{s3dlio_dataset}) do out, err
        s3dlio_dataset_open(uri, params, sizeof(s3dlio_dataset_params), options, out, err)
    end)
end

Dataset(uris::AbstractVector, settings...; given...) = with_params(; given...) do params, keywords
    texts, options = String[curi(uri) for uri in uris], options_of(settings, keywords)
    pointers = Cstring[Base.unsafe_convert(Cstring, t) for t in texts]
    GC.@preserve texts Dataset(checked(Ptr{s3dlio_dataset}) do out, err
        s3dlio_dataset_open_uris(pointers, length(pointers), params, sizeof(s3dlio_dataset_params), options, out, err)
    end)
end

"`S3dlio.manifest(path, settings...; ...) -> Dataset` of the objects of a manifest; see [`Dataset`](@ref)."
manifest(path::AbstractString, settings...; given...) = with_params(; given...) do params, keywords
    path, options = ctext(path, ERR_INVALID_ARGUMENT, "the path"), options_of(settings, keywords)
    Dataset(checked(Ptr{s3dlio_dataset}) do out, err
        s3dlio_dataset_open_manifest(path, params, sizeof(s3dlio_dataset_params), options, out, err)
    end)
end

"""
    S3dlio.write_manifest(uri, path, settings...; ...) -> number of objects

Lists what `Dataset(uri, ...)` would draw from and writes it to a local file, with sizes and ETags.
"""
write_manifest(uri::AbstractString, path::AbstractString, settings...; given...) = with_params(; given...) do params, keywords
    uri, path = curi(uri), ctext(path, ERR_INVALID_ARGUMENT, "the path")
    options = options_of(settings, keywords)
    Int(checked(UInt64) do out, err
        s3dlio_dataset_write_manifest(uri, params, sizeof(s3dlio_dataset_params), options, path, out, err)
    end)
end

function Base.length(d::Dataset)
    length = checked((out, err) -> s3dlio_dataset_length(d, out, err), UInt64)
    return length == S3DLIO_UNKNOWN_LENGTH ? nothing : Int(length)
end

"`S3dlio.index(dataset)`: the same items with a known length; lists and reads what that takes."
index(d::Dataset) = Dataset(checked((out, err) -> s3dlio_dataset_index(d, out, err), Ptr{s3dlio_dataset}))

"`S3dlio.get_many(dataset, indices) -> Batch` of these items, counted from 1, in this order."
function get_many(d::Dataset, indices)
    numbers = UInt64[cunsigned(i - 1, "the index, less 1") for i in indices]
    return Batch(checked(Ptr{s3dlio_batch}) do out, err
        s3dlio_dataset_get_many(d, numbers, length(numbers), out, err)
    end)
end

Base.getindex(d::Dataset, i::Integer) = get_many(d, (i,))[1]

"""
    Loader(dataset, settings...; batch_size = 1, seed = 0, epoch = 0, rank = 0, world_size = 1, worker = 0, workers = 1,
           state = nothing, keywords...)

One worker's pass over one epoch: iterates over [`Batch`](@ref). The order follows from dataset, seed and epoch and is
the same on every rank (`loader_shuffle = "full"` or `"window"`); ranks and workers, counted from 0, share it out.

`S3dlio.state(loader)` is what was given so far, as JSON; a loader that is opened with `state = json` goes on after it.
For another number of ranks or workers give a vector of the states of all of them. `S3dlio.get_stats(loader)` tells
what it did, `S3dlio.anext(loader)` waits for a batch (`nothing` at the end) while other tasks run. One task at a time.
"""
mutable struct Loader
    handle::Ptr{s3dlio_loader}
    Loader(handle::Ptr{s3dlio_loader}) = finalizer(free, new(handle))
end

function Loader(d::Dataset, settings...; batch_size::Integer = 1, seed::Integer = 0, epoch::Integer = 0, rank::Integer = 0,
        world_size::Integer = 1, worker::Integer = 0, workers::Integer = 1, state = nothing, keywords...)
    options = options_of(settings, keywords)
    states = String[ctext(s, ERR_INVALID_ARGUMENT, "a state") for s in (state === nothing ? () : state isa AbstractString ? (state,) : state)]
    pointers = Cstring[Base.unsafe_convert(Cstring, s) for s in states]
    small(value, what) = (n = cunsigned(value, what); n <= typemax(UInt32) ? n : throw(invalid("$what is $n; expected less than 2^32")))
    params = Ref(s3dlio_loader_params(cunsigned(batch_size, "batch_size"), cunsigned(seed, "seed"), cunsigned(epoch, "epoch"),
        small(rank, "rank"), small(world_size, "world_size"), small(worker, "worker"), small(workers, "workers"),
        pointer(pointers), length(pointers)))
    return GC.@preserve states pointers Loader(checked(Ptr{s3dlio_loader}) do out, err
        s3dlio_loader_open(d, params, sizeof(s3dlio_loader_params), options, out, err)
    end)
end

function free(l::Loader)
    handle = l.handle
    l.handle = C_NULL
    handle == C_NULL || s3dlio_loader_free(handle)
    return nothing
end

function Base.unsafe_convert(::Type{Ptr{s3dlio_loader}}, l::Loader)
    l.handle == C_NULL && throw(closed("Loader"))
    return l.handle
end

Base.close(l::Loader) = free(l)
Base.isopen(l::Loader) = l.handle != C_NULL
Base.show(io::IO, l::Loader) = print(io, "Loader(", isopen(l) ? "..." : "closed", ")")
Base.IteratorSize(::Type{Loader}) = Base.SizeUnknown()
Base.eltype(::Type{Loader}) = Batch

function Base.iterate(l::Loader, ::Nothing = nothing)
    batch = Ref{Ptr{s3dlio_batch}}(C_NULL)
    status = GC.@preserve l check(err -> s3dlio_loader_next(l, batch, err))
    return status == S3DLIO_END ? nothing : (Batch(batch[]), nothing)
end

"`S3dlio.anext(loader)`: the next batch, or `nothing` at the end of the epoch; only the calling task waits."
function anext(l::Loader)
    took_batch(event) = event.batch == C_NULL ? nothing : Batch(event.batch)
    return GC.@preserve l awaited(took_batch) do queue, token, op, err
        s3dlio_loader_next_submit(l, queue, token, op, err)
    end
end

"`S3dlio.state(loader)`: what was given so far, as JSON; see [`Loader`](@ref)."
state(l::Loader) = take_text(checked((out, err) -> s3dlio_loader_state(l, out, err), Ptr{s3dlio_buffer}))

"`S3dlio.merge_states(states)`: one state of those of all shards of a run, for another number of ranks or workers."
function merge_states(states)
    texts = String[ctext(s, ERR_INVALID_ARGUMENT, "a state") for s in states]
    pointers = Cstring[Base.unsafe_convert(Cstring, t) for t in texts]
    return GC.@preserve texts take_text(checked(Ptr{s3dlio_buffer}) do out, err
        s3dlio_loader_merge_states(pointers, length(pointers), out, err)
    end)
end

"""
    S3dlio.get_stats(loader)

A named tuple of numbers: `items`, `bytes`, `batches`, `skipped`, `substituted`, `wait_ns` (what the program waited for
data), `in_flight`, `buffered_items`, `buffered_bytes`, `listed`.
"""
function get_stats(l::Loader)
    raw = checked(s3dlio_loader_stats) do out, err
        s3dlio_loader_get_stats(l, out, sizeof(s3dlio_loader_stats), err)
    end
    names = fieldnames(s3dlio_loader_stats)
    return NamedTuple{names}(map(name -> Int(getfield(raw, name)), names))
end
