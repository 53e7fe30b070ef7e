# Many in one call: the library runs them concurrently.

# Arrays as C ranges, with what keeps them alive.
function cranges(ranges)
    roots = Any[]
    list = map(collect(ranges)) do (offset, array)
        root, at, bytes = memory(array)
        push!(roots, root)
        s3dlio_range(coffset(offset), bytes, at, 0)
    end
    return convert(Vector{s3dlio_range}, list), roots
end

"""
    S3dlio.get_ranges!(store, key, ranges) -> bytes read, one number per range

Many ranges of one object, each into its array, without copies in between. `ranges` is a collection
of `(offset, array)` or `offset => array`; the arrays must not overlap. Results are in the order of the ranges.
"""
function get_ranges!(s::Store, key::AbstractString, ranges)
    key = ckey(key)
    list, roots = cranges(ranges)
    GC.@preserve roots check(err -> s3dlio_store_get_ranges(s, key, list, length(list), err))
    return Int[range.bytes_read for range in list]
end

"""
    S3dlio.get_many(store, keys; throws = true)

Many whole objects: a vector of [`Buffer`](@ref) in the order of the keys. The first failure is
thrown; with `throws = false` each failed key has its `S3dlioException` in its place instead.
"""
function get_many(s::Store, keys; throws::Bool = true)
    texts = String[ckey(key) for key in keys]
    results = fill(zeroed(s3dlio_get_result), length(texts))
    pointers = GC.@preserve texts Cstring[Base.unsafe_convert(Cstring, t) for t in texts]
    err = Ref{Ptr{s3dlio_error}}(C_NULL)
    status = GC.@preserve texts s3dlio_store_get_many(s, pointers, length(texts), results, err)
    whole = status < 0 ? take_error(status, err[]) : nothing
    answers = Union{Buffer,S3dlioException}[
        r.status < 0 ? take_error(r.status, r.error) : Buffer(r.data) for r in results]
    return settle(answers, whole, throws)
end

"""
    S3dlio.put_many(store, objects; content_type, metadata, if_match, create_only, throws = true)

Stores many objects at once. `objects` is a `Dict` or a collection of `key => data` or `(key, data)`, data
as in `S3dlio.put`. Gives the CRC32C of each. The first failure is thrown; with `throws = false` each failed
object has its `S3dlioException` in its place instead. Those that did not fail are stored in either case.
"""
function put_many(s::Store, objects; content_type = nothing, metadata = (), if_match = nothing,
        create_only::Bool = false, throws::Bool = true)
    roots = Any[]
    list = map(collect(objects)) do (key, data)
        text = ckey(key)
        root, at, bytes = memory(data)
        push!(roots, text, root)
        s3dlio_put_item(Base.unsafe_convert(Cstring, text), at, bytes, 0, 0, C_NULL)
    end
    list = convert(Vector{s3dlio_put_item}, list)
    options, texts = put_options(content_type, metadata, if_match, create_only)
    err = Ref{Ptr{s3dlio_error}}(C_NULL)
    status = GC.@preserve roots texts s3dlio_store_put_many(s, list, length(list), options,
        sizeof(s3dlio_put_options), err)
    whole = status < 0 ? take_error(status, err[]) : nothing
    answers = Union{UInt32,S3dlioException}[
        item.status < 0 ? take_error(item.status, item.error) : item.crc32c for item in list]
    return settle(answers, whole, throws)
end

"""
    S3dlio.validate_many(store, checks; throws = true)

Validates many ranges at once. Each check is a key, or a named tuple `(key = ..., offset = ...,
length = ..., crc32c = ...)` of which all but the key may be missing, as in `S3dlio.validate`. The
first failure is thrown; with `throws = false` the answer is a vector with an `S3dlioException`
for each failed check and `nothing` for the others.
"""
function validate_many(s::Store, checks; throws::Bool = true)
    texts = String[]
    list = map(collect(checks)) do wanted
        w = wanted isa AbstractString ? (key = wanted,) : wanted
        push!(texts, ckey(w.key))
        crc = Base.get(w, :crc32c, nothing)
        s3dlio_check(Base.unsafe_convert(Cstring, texts[end]), coffset(Base.get(w, :offset, 0)),
            clength(Base.get(w, :length, nothing)), crc === nothing ? 0 : 1,
            crc === nothing ? 0 : UInt32(crc), 0, 0, C_NULL)
    end
    list = convert(Vector{s3dlio_check}, list)
    err = Ref{Ptr{s3dlio_error}}(C_NULL)
    status = GC.@preserve texts s3dlio_store_validate_many(s, list, length(list), err)
    whole = status < 0 ? take_error(status, err[]) : nothing
    answers = Union{Nothing,S3dlioException}[
        c.status < 0 ? take_error(c.status, c.error) : nothing for c in list]
    return settle(answers, whole, throws)
end

# A call that failed as a whole, without any failed item, is always thrown.
function settle(answers, whole, throws)
    first_failure = findfirst(a -> a isa S3dlioException, answers)
    first_failure === nothing && whole !== nothing && throw(whole)
    throws && first_failure !== nothing && throw(answers[first_failure])
    return answers
end
