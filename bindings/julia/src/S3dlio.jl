"""
S3dlio moves bytes between memory and object storage: S3 (`s3://`), Azure Blob (`az://`), local
files (`file://`), O_DIRECT files (`direct://`) and memory (`memory://`). It is a thin layer over
the C library libs3dlio.

    store = Store("s3://bucket/run1"; s3_endpoint = "http://127.0.0.1:8333")
    S3dlio.put(store, "a", rand(UInt8, 1000))
    bytes = S3dlio.get(store, "a")               # a Buffer: a vector in the library's memory
    open(store, "big", "w") do io                # streamed; an exception publishes nothing
        write(io, rand(UInt8, 1 << 26))
    end
    for object in S3dlio.list(store, "") println(object.key, " ", object.size) end

Types and `crc32c` are exported. Verbs have the names of the C functions and are called qualified
(`S3dlio.get`, `S3dlio.put`, `S3dlio.copy` ...), because many of them mean something else in Base.
Base's own verbs work where they mean the same: `open`, `read`, `write`, `seek`, `eof`, `close` ...

Every failure is an [`S3dlioException`](@ref). Calls block the Julia thread that makes them, but
not the garbage collection of others. `docs/julia.md` is the guide.
"""
module S3dlio

using Dates: DateTime, unix2datetime
using FileWatching: FDWatcher
import Libdl

export Store, Reader, Writer, Buffer, Options, ObjectInfo, WriteStats, S3dlioException, crc32c
export Dataset, Loader, Batch, Sample
export Checkpoint, CheckpointWriter, CheckpointShard, Tensor, World

include("ctypes.jl")
include("signatures.jl")
include("lib.jl")
include("errors.jl")
include("bytes.jl")
include("options.jl")
include("info.jl")
include("store.jl")
include("many.jl")
include("list.jl")
include("reader.jl")
include("writer.jl")
include("async.jl")
include("loader.jl")
include("datagen.jl")
include("oneshot.jl")
include("checkpoint_writer.jl")
include("checkpoint.jl")
include("formats.jl")
include("library.jl")

__init__() = load_library()

end
