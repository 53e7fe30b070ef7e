# The library as a whole.

"The version of the loaded library, such as `v\"0.1.0\"`."
version() = VersionNumber(text(s3dlio_version()))

"The ABI version of the loaded library: major in the upper 16 bits, minor in the lower."
abi_version() = s3dlio_abi_version()

"Whether the library was built with `\"s3\"`, `\"azure\"`, `\"file\"`, `\"direct\"`, `\"memory\"` or `\"zstd\"`."
has_feature(name::AbstractString) = s3dlio_has_feature(String(name)) == 1

"""
    S3dlio.shutdown(timeout_ms = 5000)

Waits until running calls and the clean-up of collected handles are done, at most so long, and ends
the library's threads. Optional: a program may simply exit. Readers, writers and lists from before
fail with `ERR_SHUTDOWN` afterwards; everything else starts the library afresh.
"""
function shutdown(timeout_ms::Integer = 5000)
    timeout = cunsigned(timeout_ms, "the timeout")
    check(err -> s3dlio_shutdown(timeout, err))
    return nothing
end

"""
    S3dlio.log_to_fd(fd, level = nothing)

Writes log lines to a file descriptor; -1 ends it. The level is `"error"`, `"warn"`, `"info"`,
`"debug"` or `"trace"`; `nothing` takes the option `log.level`.
"""
function log_to_fd(fd, level::Union{AbstractString,Nothing} = nothing)
    number = fd isa RawFD ? reinterpret(Int32, fd) : Int32(fd)
    wanted = level === nothing ? Cstring(C_NULL) : ctext(level, ERR_INVALID_ARGUMENT, "the level")
    check(err -> s3dlio_log_to_fd(number, wanted, err))
    return nothing
end

"Numbers of the process: a named tuple with the fields of `s3dlio_stats`, such as live `handles`."
function get_stats()
    c = checked((out, err) -> s3dlio_get_stats(out, sizeof(s3dlio_stats), err), s3dlio_stats)
    return (pool_idle_bytes = Int64(c.pool_idle_bytes), pool_idle_buffers = Int(c.pool_idle_buffers),
        direct_fallbacks = Int(c.direct_fallbacks), handles = Int(c.handles),
        io_uring_fallbacks = Int(c.io_uring_fallbacks))
end

"""
    crc32c(data, crc = 0x00000000) -> UInt32

The CRC32C (Castagnoli) of text or of the bytes of an array; pass the value for what came before to
go on. `crc32c("123456789") == 0xe3069283`.
"""
function crc32c(data::Data, crc::UInt32 = 0x00000000)
    root, at, bytes = memory(data)
    return GC.@preserve root s3dlio_crc32c(crc, at, bytes)
end

"""
    S3dlio.crc32c_combine(first, second, second_length) -> UInt32

The CRC32C of two pieces put together, from those of the pieces.
"""
crc32c_combine(first::UInt32, second::UInt32, second_length::Integer) =
    s3dlio_crc32c_combine(first, second, cunsigned(second_length, "the length"))

"All metrics of the process as JSON text: docs/metrics.md."
stats_json() = take_text(checked(s3dlio_stats_json, Ptr{s3dlio_buffer}))

"All metrics of the process in Prometheus' text format."
stats_prometheus() = take_text(checked(s3dlio_stats_prometheus, Ptr{s3dlio_buffer}))

"""
    S3dlio.oplog_start(path, settings...; keywords...)

Writes every operation of the process to a file, as a row in the format of MinIO's warp (docs/oplog.md);
compressed where the name ends in `.zst`. Settings as for [`Options`](@ref), such as `oplog_level = 3`.
"""
function oplog_start(path::AbstractString, settings...; keywords...)
    options, name = Options(settings...; keywords...), ctext(path, ERR_INVALID_ARGUMENT, "the path")
    check(err -> s3dlio_oplog_start(name, options, err))
    return nothing
end

"""
    S3dlio.oplog_stop() -> (rows = ..., dropped = ...)

Ends the op-log once everything is written: how many rows the file has, and how many operations are
missing in it.
"""
function oplog_stop()
    rows, dropped = Ref{UInt64}(0), Ref{UInt64}(0)
    check(err -> s3dlio_oplog_stop(rows, dropped, err))
    return (rows = Int(rows[]), dropped = Int(dropped[]))
end

"""
    S3dlio.profile(f, path; hz = 0)

Runs `f()`, samples the CPU time of all threads meanwhile, and writes it as a flamegraph (SVG) to `path`:
docs/tracing.md. `hz` samples in a second of CPU time, at most 1000; 0 takes 199. After an exception there is
no file.
"""
function profile(f, path::AbstractString; hz::Integer = 0)
    name, rate = ctext(path, ERR_INVALID_ARGUMENT, "the path"), UInt32(hz)
    check(err -> s3dlio_profile_start(rate, err))
    written = false
    try
        result = f()
        check(err -> s3dlio_profile_stop(name, err))
        written = true
        return result
    finally
        # Where the profile ended with an error it is over already.
        written || s3dlio_profile_stop(Cstring(C_NULL), C_NULL)
    end
end
