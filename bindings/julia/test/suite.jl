# What every store must do through this package. `tests/julia` runs the same against real servers.
module Suite

using Test, Random, S3dlio
using Dates: DateTime, now, UTC, Minute

"A store to test: its root (a fresh container) and how to open it."
struct Target
    name::String
    root::String
    settings::Dict{String,String}
end

open_store(t::Target, sub = ""; keywords...) =
    Store(isempty(sub) ? t.root : t.root * "/" * sub, t.settings...; keywords...)

unique_name(prefix) = string(prefix, "-", bytestring(rand(RandomDevice(), UInt8, 6)))
bytestring(bytes) = join(string.(bytes, base = 16, pad = 2))

"The exception that `f` throws; fails the test if there is none."
function caught(f)
    try
        f()
    catch e
        e isa S3dlioException || rethrow()
        return e
    end
    error("expected an S3dlioException, but nothing was thrown")
end

"The status name of what `f` throws."
status(f) = caught(f).status

"Waits until `f()` is true: for what happens in the background."
function eventually(f; seconds = 30)
    deadline = time() + seconds
    while !f()
        time() > deadline && return false
        sleep(0.02)
    end
    return true
end

keys_of(listing) = [o.key for o in listing]

function run(t::Target)
    @testset "$(t.name)" begin
        objects(t)
        into_memory(t)
        many(t)
        reader(t)
        writer(t)
        compression(t)
        lists(t)
        validation(t)
        refusals(t)
        finalizers(t)
        tasks(t)
        checkpoints(t)
        loaders(t)
    end
end

function objects(t)
    @testset "S2 objects round trip" begin
        store = open_store(t, "objects")
        @test S3dlio.uri(store) == t.root * "/objects"
        for size in (0, 1, 4095, 4096, 1 << 20 + 7)
            data = rand(UInt8, size)
            stats = S3dlio.put(store, "k", data)
            @test (stats.bytes, stats.stored_bytes, stats.finished) == (size, size, true)
            @test stats.crc32c == stats.stored_crc32c == crc32c(data)
            got = S3dlio.get(store, "k")
            @test got isa Buffer && got == data
            @test Ptr{Cvoid}(pointer(got)) == S3dlio.s3dlio_buffer_data(got)     # no copy
            @test read(store, "k") == data
            info = S3dlio.stat(store, "k")
            @test (info.kind, info.key, info.size) == (:object, "k", size)
            @test info.uri == t.root * "/objects/k"
            @test info.last_modified !== nothing && abs(info.last_modified - now(UTC)) < Minute(30)
        end
        @test write(store, "text", "größer") == 8
        @test read(store, "text", String) == "größer"
        @test String(S3dlio.get_range(store, "text", 4)) == "ßer"
        @test S3dlio.exists(store, "text") === true
        S3dlio.delete(store, "text")
        @test S3dlio.exists(store, "text") === false
        @test S3dlio.delete(store, "text") === nothing
        @test status(() -> S3dlio.get(store, "text")) == "not_found"

        S3dlio.put(store, "numbers", [1.5, 2.5, 3.5])
        @test reinterpret(Float64, read(store, "numbers")) == [1.5, 2.5, 3.5]
        S3dlio.put(store, "view", view(collect(0x00:0xff), 11:20))
        @test read(store, "view") == 10:19
        @test_throws ArgumentError S3dlio.put(store, "x", view(collect(0x00:0xff), 1:2:11))
        @test_throws ArgumentError S3dlio.put(store, "x", ["a", "b"])

        for key in ("a b", "ключ/値", "100%", "a+b", "x#y?z=1&w", "%41", "d/e/f")
            S3dlio.put(store, key, key)
            @test read(store, key, String) == key
            @test S3dlio.stat(store, key).key == key
        end

        if S3dlio.capabilities(store).metadata
            S3dlio.put(store, "m", "x"; content_type = "text/plain", metadata = Dict("step" => "7", "run_id" => "a b"))
            info = S3dlio.stat(store, "m")
            @test info.content_type == "text/plain"
            @test info.metadata == Dict("step" => "7", "run_id" => "a b")
        else
            e = caught(() -> S3dlio.put(store, "m", "x"; metadata = ("step" => "7",)))
            @test e.status == "unsupported"
        end
        if S3dlio.capabilities(store).conditional_put
            @test status(() -> S3dlio.put(store, "k", "new"; create_only = true)) == "already_exists"
            etag = S3dlio.stat(store, "k").etag
            S3dlio.put(store, "k", "new"; if_match = etag)
            @test status(() -> S3dlio.put(store, "k", "newer"; if_match = etag)) == "precondition_failed"
            @test read(store, "k", String) == "new"
        else
            @test status(() -> S3dlio.put(store, "fresh", "new"; create_only = true)) == "unsupported"
        end

        S3dlio.put(store, "from", "moved")
        S3dlio.copy(store, "from", "copied")
        S3dlio.rename(store, "from", "renamed")
        @test read(store, "copied", String) == read(store, "renamed", String) == "moved"
        @test !S3dlio.exists(store, "from")
        @test status(() -> S3dlio.copy(store, "missing", "x")) == "not_found"
        @test status(() -> S3dlio.rename(store, "missing", "x")) == "not_found"

        # a Buffer and a String are stored like vectors
        S3dlio.put(store, "again", S3dlio.get(store, "copied"))
        @test read(store, "again", String) == "moved"

        # one call with the whole URI
        uri = t.root * "/objects/oneshot"
        S3dlio.put(uri, "one", t.settings...)
        @test String(S3dlio.get(uri, t.settings...)) == "one"
        @test S3dlio.stat(uri, t.settings...).size == 3
        @test S3dlio.exists(uri, t.settings...)
        S3dlio.delete(uri, t.settings...)
        @test !S3dlio.exists(uri, t.settings...)

        close(store)
        @test !isopen(store)
        @test status(() -> S3dlio.get(store, "k")) == "bad_handle"
    end
end

function into_memory(t)
    @testset "G1 into the caller's memory" begin
        store = open_store(t, "into")
        data = rand(UInt8, 100_000)
        S3dlio.put(store, "k", data)

        memory = zeros(UInt8, 100_010)
        address = pointer(memory)
        @test S3dlio.get_into!(store, "k", memory) == 100_000
        @test pointer(memory) == address && memory[1:100_000] == data && all(iszero, memory[100_001:end])
        e = caught(() -> S3dlio.get_into!(store, "k", zeros(UInt8, 99_999)))
        @test e.status == "buffer_too_small" && e.details["required"] == "100000"

        @test S3dlio.get_range_into!(store, "k", 500, view(memory, 1:100)) == 100
        @test memory[1:100] == data[501:600] && memory[101] == data[101]
        @test S3dlio.get_range_into!(store, "k", 99_990, zeros(UInt8, 100)) == 10
        @test S3dlio.get_range_into!(store, "k", 100_000, zeros(UInt8, 100)) == 0
        @test S3dlio.get_range(store, "k", 10, 20) == data[11:30]
        @test S3dlio.get_range(store, "k", 99_990, 20) == data[99_991:end]
        @test S3dlio.get_range(store, "k", 99_990) == data[99_991:end]
        @test isempty(S3dlio.get_range(store, "k", 100_000))
        @test status(() -> S3dlio.get_range(store, "k", 100_001)) == "range"

        numbers = zeros(UInt32, 25_000)
        @test S3dlio.get_into!(store, "k", numbers) == 100_000
        @test reinterpret(UInt8, numbers) == data
        matrix = zeros(UInt8, 100, 100)
        @test S3dlio.get_range_into!(store, "k", 0, matrix) == 10_000 && vec(matrix) == data[1:10_000]
        @test_throws ArgumentError S3dlio.get_into!(store, "k", view(zeros(UInt8, 10, 10), 1:5, 1:5))
        @test_throws ArgumentError S3dlio.get_into!(store, "k", Any[1, 2])

        buffer = Buffer(100_000)
        @test UInt(pointer(buffer)) % 4096 == 0
        @test S3dlio.get_into!(store, "k", buffer) == 100_000 && buffer == data
        close(buffer)
        @test isempty(buffer)
        @test_throws BoundsError buffer[1]
    end
end

function many(t)
    @testset "G1 many at once" begin
        store = open_store(t, "many")
        data = rand(UInt8, 1 << 20)
        S3dlio.put(store, "k", data)
        parts = [zeros(UInt8, n) for n in (1, 1000, 70_000)]
        @test S3dlio.get_ranges!(store, "k", zip((5, 1 << 19, (1 << 20) - 100), parts)) == [1, 1000, 100]
        @test parts[1] == data[6:6]
        @test parts[2] == data[1 << 19 + 1 : 1 << 19 + 1000]
        @test parts[3][1:100] == data[end-99:end]
        whole = zeros(UInt8, 1 << 20)
        pieces = [(from => view(whole, from+1:from+(1 << 16))) for from in 0:(1 << 16):(1 << 20)-1]
        @test sum(S3dlio.get_ranges!(store, "k", pieces)) == 1 << 20 && whole == data
        @test S3dlio.get_ranges!(store, "k", []) == Int[]
        @test status(() -> S3dlio.get_ranges!(store, "k", [(0, whole), (5, view(whole, 5:9))])) == "invalid_argument"

        names = ["n$i" for i in 1:50]
        @test S3dlio.put_many(store, [n => n^3 for n in names]) == [crc32c(n^3) for n in names]
        @test S3dlio.put_many(store, Dict{String,String}()) == []
        stored = S3dlio.put_many(store, [("m1", UInt8[1, 2]), ("", "x"), ("m3", "")]; throws = false)
        @test stored[1] == crc32c(UInt8[1, 2]) && stored[2] isa S3dlioException && stored[3] == 0
        @test stored[2].status == "invalid_key" && S3dlio.get(store, "m1") == UInt8[1, 2]
        @test status(() -> S3dlio.put_many(store, ["" => "x"])) == "invalid_key"
        @test String.(S3dlio.get_many(store, names)) == names .^ 3
        @test S3dlio.get_many(store, String[]) == []
        mixed = S3dlio.get_many(store, ["n1", "missing", "n2"]; throws = false)
        @test String(mixed[1]) == "n1n1n1" && String(mixed[3]) == "n2n2n2"
        @test mixed[2] isa S3dlioException && mixed[2].status == "not_found"
        @test occursin("missing", caught(() -> S3dlio.get_many(store, ["n1", "missing"])).message)
    end
end

include("suite_streams.jl")
include("suite_checkpoint.jl")
include("suite_loader.jl")

function lists(t)
    @testset "S2 lists" begin
        store = open_store(t, "lists")
        names = sort!(["a", "b/1", "b/2", "b2", "run1/x", "run1/y/z", "run10/x"])
        foreach(n -> S3dlio.put(store, n, n), names)
        listing = S3dlio.list(store)
        @test eltype(listing) == ObjectInfo
        @test keys_of(listing) == names
        @test keys_of(listing) == names                    # a loop lists anew
        @test all(o -> o.kind === :object && o.size == sizeof(o.key), listing)
        @test all(o -> o.uri == t.root * "/lists/" * o.key, listing)
        @test keys_of(S3dlio.list(store, "b")) == ["b/1", "b/2", "b2"]
        @test keys_of(S3dlio.list(store, "b/")) == ["b/1", "b/2"]
        @test keys_of(S3dlio.list(store, "none")) == []
        @test [(o.key, o.kind) for o in S3dlio.list(store; recursive = false)] ==
            [("a", :object), ("b/", :prefix), ("b2", :object), ("run1/", :prefix), ("run10/", :prefix)]
        @test keys_of(S3dlio.list(store, "run1/"; recursive = false)) == ["run1/x", "run1/y/"]
        @test first(listing).key == "a"                    # a list may be left early
        @test S3dlio.delete_prefix(store, "run1") == 2
        @test keys_of(S3dlio.list(store)) == ["a", "b/1", "b/2", "b2", "run10/x"]
        @test S3dlio.delete_prefix(store, "") == 5
        @test keys_of(S3dlio.list(store)) == []
    end
end

function validation(t)
    @testset "I2 a flipped byte is found" begin
        store = open_store(t, "validation")
        data = rand(UInt8, 200_000)
        S3dlio.put(store, "k", data)
        S3dlio.validate(store, "k"; crc32c = crc32c(data))
        S3dlio.validate(store, "k"; offset = 1000, length = 500, crc32c = crc32c(data[1001:1500]))
        flipped = Base.copy(data)
        flipped[1234] ⊻= 0x10
        S3dlio.put(store, "k", flipped)
        e = caught(() -> S3dlio.validate(store, "k"; crc32c = crc32c(data)))
        @test e.status == "checksum_mismatch" && e.code == S3dlio.ERR_CHECKSUM_MISMATCH
        @test occursin("validation/k", e.message)
        @test occursin(string(crc32c(data), base = 16, pad = 8), e.message)
        @test occursin(string(crc32c(flipped), base = 16, pad = 8), e.message)
        @test status(() -> S3dlio.validate(store, "k"; offset = 1000, length = 500,
            crc32c = crc32c(data[1001:1500]))) == "checksum_mismatch"
        S3dlio.validate(store, "k"; offset = 1500, crc32c = crc32c(data[1501:end]))
        results = S3dlio.validate_many(store, [
            (key = "k", crc32c = crc32c(data)),
            (key = "k", offset = 1500, crc32c = crc32c(data[1501:end])),
            (key = "missing", crc32c = 0x00000000)]; throws = false)
        @test results[1].status == "checksum_mismatch" && results[2] === nothing
        @test results[3].status == "not_found"
        @test status(() -> S3dlio.validate_many(store, [(key = "k", crc32c = crc32c(data))])) == "checksum_mismatch"
        io = Reader(store, "k")
        S3dlio.expect_crc32c(io, crc32c(data))
        @test status(() -> read(io)) == "checksum_mismatch"
        io = Reader(store, "k")
        S3dlio.expect_crc32c(io, crc32c(flipped))
        @test read(io) == flipped
    end
end

function refusals(t)
    @testset "S4 bad input is refused with its code" begin
        store = open_store(t, "refusals")
        S3dlio.put(store, "k", "12345")
        @test status(() -> S3dlio.get(store, "missing")) == "not_found"
        @test status(() -> S3dlio.stat(store, "missing")) == "not_found"
        @test status(() -> Reader(store, "missing")) == "not_found"
        @test status(() -> S3dlio.get(store, "")) == "invalid_key"
        @test status(() -> S3dlio.put(store, "a\0b", "x")) == "invalid_key"
        @test status(() -> S3dlio.put(store, "k"^1025, "x")) == "invalid_key"
        @test status(() -> S3dlio.get_range(store, "k", -1, 2)) == "invalid_argument"
        @test status(() -> S3dlio.get_range(store, "k", 0, -1)) == "invalid_argument"
        @test status(() -> S3dlio.get_range(store, "k", big(2)^64)) == "invalid_argument"
        @test status(() -> S3dlio.get_range(store, "k", 6)) == "range"
        @test status(() -> S3dlio.get_range(store, "k", typemax(UInt64) - 1, 10)) == "range"
        @test status(() -> S3dlio.get_range_into!(store, "k", -1, zeros(UInt8, 2))) == "invalid_argument"
        open(store, "k") do io
            @test status(() -> seek(io, -1)) == "invalid_argument"
            @test status(() -> skip(io, -1)) == "invalid_argument"
            @test status(() -> S3dlio.read_at!(io, -1, zeros(UInt8, 2))) == "invalid_argument"
        end
        @test status(() -> Writer(store, "k"; nonsense_option = 1)) == "unknown_option"
        @test status(() -> Writer(store, "k"; writer_compression_level = 23)) == "invalid_option"
        @test status(() -> Reader(store, "k"; reader_read_ahead = -1)) == "invalid_option"
        e = caught(() -> S3dlio.get(store, "missing"))
        @test e.code == S3dlio.ERR_NOT_FOUND && !e.retryable
        @test e.details["uri"] == t.root * "/refusals/missing"
        shown = sprint(showerror, e)
        @test occursin("not_found", shown) && occursin("-20", shown) && occursin(e.message, shown)
        @test read(store, "k", String) == "12345"
    end
end

function finalizers(t)
    @testset "A3 collected handles are freed and publish nothing" begin
        store = open_store(t, "finalizers")
        S3dlio.put(store, "k", rand(UInt8, 10_000))
        collect_all() = (GC.gc(); GC.gc())
        collect_all()
        before = S3dlio.get_stats().handles
        @noinline function leave()
            for i in 1:20
                write(Writer(store, "unfinished$i"), rand(UInt8, 100_000))
                read(Reader(store, "k"), 10)
                S3dlio.get(store, "k")
                Buffer(100)
                Options("transfer.part_size" => "8MiB")
                iterate(S3dlio.list(store))
                open_store(t, "finalizers")
            end
            return S3dlio.get_stats().handles
        end
        @test leave() >= before + 100
        @test eventually(() -> (collect_all(); S3dlio.get_stats().handles <= before))
        @test keys_of(S3dlio.list(store)) == ["k"]
    end
end

function tasks(t)
    @testset "A3 tasks and threads share a store" begin
        store = open_store(t, "tasks")
        data = rand(UInt8, 2 << 20)
        S3dlio.put(store, "shared", data)
        shared = Reader(store, "shared")
        work = map(1:16) do i
            Threads.@spawn begin
                own = rand(MersenneTwister(i), UInt8, 50_000 + i)
                S3dlio.put(store, "own$i", own)
                open(io -> write(io, own, own), store, "twice$i", "w")
                part = zeros(UInt8, 1000)
                S3dlio.read_at!(shared, 1000 * i, part)
                garbage = [zeros(UInt8, 1000) for _ in 1:100]    # collections meet blocking calls
                read(store, "own$i") == own && read(store, "twice$i") == [own; own] &&
                    part == data[1000i+1:1000i+1000] && length(garbage) == 100 &&
                    status(() -> S3dlio.get(store, "missing$i")) == "not_found"
            end
        end
        GC.gc()
        @test all(fetch.(work))
        @test length(collect(S3dlio.list(store))) == 33
    end
end

end
