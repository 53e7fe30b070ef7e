# One call with the object's whole URI. The library keeps the stores for the next call.

"`S3dlio.get(uri, settings...; keywords...) -> Buffer`, as with a store."
function get(uri::AbstractString, settings...; keywords...)
    uri, options = curi(uri), options_of(settings, keywords)
    return Buffer(checked((out, err) -> s3dlio_get(uri, options, out, err), Ptr{s3dlio_buffer}))
end

"`S3dlio.put(uri, data, settings...; keywords...)`, as with a store."
function put(uri::AbstractString, data::Data, settings...; keywords...)
    uri, options = curi(uri), options_of(settings, keywords)
    root, at, bytes = memory(data)
    GC.@preserve root check(err -> s3dlio_put(uri, options, at, bytes, err))
    return nothing
end

"`S3dlio.stat(uri, settings...; keywords...) -> ObjectInfo`, as with a store."
function stat(uri::AbstractString, settings...; keywords...)
    uri, options = curi(uri), options_of(settings, keywords)
    return with_info((info, size, texts, err) -> s3dlio_stat(uri, options, info, size, texts, err))
end

"`S3dlio.exists(uri, settings...; keywords...) -> Bool`, as with a store."
function exists(uri::AbstractString, settings...; keywords...)
    uri, options = curi(uri), options_of(settings, keywords)
    return checked((out, err) -> s3dlio_exists(uri, options, out, err), Int32) != 0
end

"`S3dlio.delete(uri, settings...; keywords...)`, as with a store."
function delete(uri::AbstractString, settings...; keywords...)
    uri, options = curi(uri), options_of(settings, keywords)
    check(err -> s3dlio_delete(uri, options, err))
    return nothing
end
