# Lists: iterators that fetch page by page.

mutable struct Lister
    handle::Ptr{s3dlio_lister}
    Lister(handle::Ptr{s3dlio_lister}) = finalizer(free, new(handle))
end

function free(l::Lister)
    handle = l.handle
    l.handle = C_NULL
    handle == C_NULL || s3dlio_lister_free(handle)
    return nothing
end

Base.unsafe_convert(::Type{Ptr{s3dlio_lister}}, l::Lister) = l.handle

"An iterator of [`ObjectInfo`](@ref); each loop over it lists anew. See [`S3dlio.list`](@ref)."
struct Listing{F}
    start::F
end

Base.IteratorSize(::Type{<:Listing}) = Base.SizeUnknown()
Base.eltype(::Type{<:Listing}) = ObjectInfo
Base.show(io::IO, ::Listing) = print(io, "S3dlio.Listing(...)")

Base.iterate(l::Listing) = iterate(l, Lister(checked(l.start, Ptr{s3dlio_lister})))

function Base.iterate(::Listing, lister::Lister)
    info = Ref(zeroed(s3dlio_object_info))
    GC.@preserve lister begin
        status = check(err -> s3dlio_lister_next(lister, info, sizeof(s3dlio_object_info), err))
        status == S3DLIO_END && return (free(lister); nothing)
        return ObjectInfo(info[]), lister
    end
end

"""
    S3dlio.list(store, prefix = ""; recursive = true)

Iterates over the objects whose keys start with `prefix`, in the order of their keys' bytes. With
`recursive = false`, what lies below the next `/` is one entry of kind `:prefix`.
"""
function list(s::Store, prefix::AbstractString = ""; recursive::Bool = true)
    prefix = ckey(prefix)
    return Listing((out, err) -> s3dlio_store_list(s, prefix, recursive, out, err))
end

"`S3dlio.list_containers(store)`: iterates over the buckets or containers of the store's account."
list_containers(s::Store) = Listing((out, err) -> s3dlio_store_list_containers(s, out, err))
