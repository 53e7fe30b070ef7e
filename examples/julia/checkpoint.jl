# The main job in small: stream a synthetic checkpoint, list it, read it back by parallel ranges into
# one vector, verify its CRC32C, print throughput and peak memory.
#
#   julia --project=bindings/julia examples/julia/checkpoint.jl [URI] [MiB]
#
# URI is a folder of any store (default: a temporary local folder): file:///data/run1, s3://bucket/run1,
# az://account/container/run1, direct:///data/run1, memory://name. Settings such as the endpoint and the
# credentials come from the environment (S3DLIO_S3_ENDPOINT, AWS_ACCESS_KEY_ID ...).
using S3dlio, Random, Printf

peak_mib() = Sys.maxrss() / 2^20
report(what, bytes, seconds) =
    @printf("%-6s %6.0f MiB in %6.2f s: %7.0f MiB/s, peak memory %5.0f MiB\n",
        what, bytes / 2^20, seconds, bytes / 2^20 / seconds, peak_mib())

# Fills the writer's own memory piece by piece: no copies, constant memory whatever the size.
function save(store, key, size)
    pattern = rand(MersenneTwister(1), UInt8, 1 << 20)
    open(store, key, "w") do io
        left = size
        while left > 0
            room = S3dlio.reserve(io, 1 << 20)
            n = min(left, length(room))
            for from in 0:length(pattern):n-1
                copyto!(room, from + 1, pattern, 1, min(length(pattern), n - from))
            end
            room[1] = left % 251                       # no two pieces are the same
            S3dlio.commit(io, n)
            left -= n
        end
        S3dlio.finish(io)
    end
end

# Each range goes straight to its place in `into`.
function load!(into, store, key; range = 16 << 20)
    open(store, key) do io
        filesize(io) == length(into) || error("$key has $(filesize(io)) bytes, expected $(length(into))")
        ranges = [(from, view(into, from+1:min(length(into), from + range)))
                  for from in 0:range:length(into)-1]
        sum(S3dlio.readv_at!(io, ranges))
    end
end

function main(args)
    uri = length(args) >= 1 ? args[1] : "file://" * mktempdir()
    size = (length(args) >= 2 ? parse(Int, args[2]) : 256) << 20
    store = Store(uri)
    key = "step-100/rank-0.bin"

    seconds = @elapsed stats = save(store, key, size)
    report("save", stats.bytes, seconds)

    for object in S3dlio.list(store, "step-100/")
        println(object.uri, "  ", object.size, " bytes  ", object.last_modified)
    end

    into = Vector{UInt8}(undef, size)
    fill!(into, 0)                                     # the memory is there before the clock starts
    seconds = @elapsed load!(into, store, key)
    report("load", size, seconds)

    loaded = crc32c(into)
    loaded == stats.crc32c || error("CRC32C is $(string(loaded, base = 16)), expected $(string(stats.crc32c, base = 16))")
    @printf("crc32c:%08x verified\n", loaded)
    S3dlio.delete_prefix(store, "step-100")
end

main(ARGS)
