# Readers, writers and compression: part of suite.jl.

function reader(t)
    @testset "G1 the reader is an IO" begin
        store = open_store(t, "reader")
        data = rand(UInt8, 300_000)
        S3dlio.put(store, "k", data)
        io = Reader(store, "k")
        @test isopen(io) && isreadable(io) && !iswritable(io)
        @test filesize(io) == 300_000 && position(io) == 0 && !eof(io)
        @test S3dlio.info(io).size == 300_000 && S3dlio.info(io).key == "k"
        @test [read(io, UInt8) for _ in 1:3] == data[1:3]
        @test position(io) == 3
        @test read(io, 100_000) == data[4:100_003] && position(io) == 100_003
        skip(io, -3)
        @test read(io, UInt8) == data[100_001]
        seek(io, 299_999)
        @test read(io, UInt8) == data[end] && eof(io)
        @test_throws EOFError read(io, UInt8)
        @test read(io) == UInt8[]
        seekstart(io)
        @test read(io) == data && eof(io) && position(io) == 300_000
        seekend(io)
        @test position(io) == 300_000 && eof(io)
        seek(io, 10)
        mark(io)
        first_bytes = read(io, 5)
        reset(io)
        @test read(io, 5) == first_bytes == data[11:15]
        seek(io, 0)
        into = UInt8[]
        @test readbytes!(io, into, 1000) == 1000 && into == data[1:1000]
        into = zeros(UInt8, 200_000)
        address = pointer(into)
        @test readbytes!(io, into) == 200_000 && into == data[1001:201_000] && pointer(into) == address
        floats = Vector{Float64}(undef, 1000)
        read!(io, floats)
        @test reinterpret(UInt8, floats) == data[201_001:209_000]
        @test_throws EOFError read!(io, zeros(UInt8, 200_000))
        seek(io, 300_000 - 10)
        @test length(readavailable(io)) == 10

        # at given offsets, in any order, leaving the position alone
        seek(io, 7)
        some = zeros(UInt8, 1000)
        @test S3dlio.read_at!(io, 299_500, some) == 500 && some[1:500] == data[299_501:end]
        @test S3dlio.read_at!(io, 300_000, some) == 0
        @test status(() -> S3dlio.read_at!(io, 300_001, some)) == "range"
        parts = [zeros(UInt8, 10) for _ in 1:3]
        @test S3dlio.readv_at!(io, zip((0, 299_995, 50), parts)) == [10, 5, 10]
        @test parts[1] == data[1:10] && parts[2][1:5] == data[end-4:end] && parts[3] == data[51:60]
        @test position(io) == 7 && read(io, UInt8) == data[8]
        close(io)
        close(io)
        @test !isopen(io)
        @test status(() -> read(io, UInt8)) == "bad_handle"
        @test status(() -> seek(io, 0)) == "bad_handle"

        S3dlio.put(store, "lines", "one\ntwo\n\nlast")
        @test open(collect ∘ eachline, store, "lines") == ["one", "two", "", "last"]
        @test open(io -> read(io, String), store, "lines") == "one\ntwo\n\nlast"
        @test open(readline, store, "lines") == "one"
        S3dlio.put(store, "empty", "")
        open(store, "empty") do io
            @test filesize(io) == 0 && eof(io) && read(io) == UInt8[]
        end
        copied = IOBuffer()
        open(io -> write(copied, io), store, "k")
        @test take!(copied) == data
        without = Reader(store, "k"; reader_read_ahead = 0)
        @test read(without) == data

        # replaced while it is read: an error, never a mixture
        io = Reader(store, "k"; reader_read_ahead = 0)
        read(io, 10)
        S3dlio.put(store, "k", reverse(data))
        @test status(() -> read(io)) in ("changed", "not_found")
        @test status(() -> S3dlio.read_at!(io, 0, some)) in ("changed", "not_found")
    end
end

function writer(t)
    @testset "W1 the writer is an IO" begin
        store = open_store(t, "writer")
        S3dlio.put(store, "a", "there")                     # the folder is there
        io = Writer(store, "k"; content_type = S3dlio.capabilities(store).metadata ? "text/x" : nothing)
        @test isopen(io) && iswritable(io) && !isreadable(io) && S3dlio.key(io) == "k"
        @test write(io, 0x41) == 1
        @test print(io, "BC", 1) === nothing
        @test write(io, UInt32[0x44434241]) == 4
        @test position(io) == 8
        @test !S3dlio.exists(store, "k")
        stats = S3dlio.finish(io)
        @test stats.bytes == stats.stored_bytes == 8 && stats.finished
        @test stats.crc32c == crc32c("ABC1ABCD")
        @test read(store, "k", String) == "ABC1ABCD"
        @test S3dlio.get_stats(io) == stats
        @test status(() -> write(io, "more")) == "invalid_state"
        close(io)
        close(io)
        @test S3dlio.get_stats(io).bytes == 8
        @test status(() -> write(io, "more")) == "bad_handle"
        @test read(store, "k", String) == "ABC1ABCD"

        size = 12 << 20 + 13
        data = rand(UInt8, size)
        sum_before = crc32c(data)
        stats = open(store, "parts", "w"; transfer_part_size = "5MiB") do io
            for from in 1:1_000_003:size
                write(io, view(data, from:min(size, from + 1_000_002)))
            end
            S3dlio.finish(io)
        end
        @test stats.bytes == size && stats.crc32c == sum_before
        @test read(store, "parts") == data

        # the library's memory: no copies on the way
        io = Writer(store, "reserved")
        room = S3dlio.reserve(io, 1000)
        @test length(room) >= 1000
        room[1:1000] .= data[1:1000]
        S3dlio.commit(io, 1000)
        @test isempty(room)
        @test_throws BoundsError room[1]
        room = S3dlio.reserve(io, 500_000)
        @test pointer(room) == pointer(view(room, 1:10)) == room.data
        copyto!(room, 1, data, 1001, 500_000)
        S3dlio.commit(io, 500_000)
        buffer = Buffer(1000)
        buffer .= view(data, 501_001:502_000)
        @test S3dlio.write_buffer(io, buffer) == 1000
        @test isempty(buffer)
        unused = S3dlio.reserve(io, 10)
        @test status(() -> S3dlio.commit(io, length(unused) + 1)) == "invalid_argument"
        close(io)
        @test isempty(unused)
        @test read(store, "reserved") == data[1:502_000]

        # an exception in the block publishes nothing and leaves what was there
        struct_error = ErrorException("on purpose")
        @test_throws struct_error open(store, "k", "w") do io
            write(io, data)
            throw(struct_error)
        end
        @test read(store, "k", String) == "ABC1ABCD"
        @test_throws struct_error open(store, "never", "w") do io
            write(io, "x")
            throw(struct_error)
        end
        @test !S3dlio.exists(store, "never")
        io = Writer(store, "never")
        write(io, data)
        S3dlio.abort(io)
        S3dlio.abort(io)
        @test !isopen(io) && !S3dlio.exists(store, "never")
        io = Writer(store, "k")
        write(io, "ABC1ABCD")
        S3dlio.finish(io)
        @test status(() -> S3dlio.abort(io)) == "invalid_state"
        @test keys_of(S3dlio.list(store)) == ["a", "k", "parts", "reserved"]
        open(io -> nothing, store, "nothing", "w")
        @test read(store, "nothing") == UInt8[]
        @test status(() -> open(store, "k", "a")) == "invalid_argument"
    end
end

function compression(t)
    @testset "W4 zstd" begin
        store = open_store(t, "zstd")
        data = repeat(rand(UInt8, 1000), 3000)
        for level in (1, 19)
            io = Writer(store, "c$level"; writer_compression = "zstd", writer_compression_level = level)
            @test S3dlio.key(io) == "c$level.zst"
            write(io, data)
            stats = S3dlio.finish(io)
            @test stats.bytes == length(data) && stats.stored_bytes < length(data) / 10
            @test stats.crc32c == crc32c(data)
            stored = read(store, "c$level.zst")
            @test crc32c(stored) == stats.stored_crc32c && length(stored) == stats.stored_bytes
            @test open(read, store, "c$level.zst") == data
            @test open(read, store, "c$level.zst", "r"; reader_decompress = false) == stored
            io = Reader(store, "c$level.zst")
            @test readbytes!(io, zeros(UInt8, 10)) == 10
            @test read(io) == data[11:end]
            checked = Reader(store, "c$level.zst")
            S3dlio.expect_crc32c(checked, crc32c(data))
            @test read(checked) == data
        end
        S3dlio.put(store, "cut.zst", read(store, "c1.zst")[1:end-10])
        @test status(() -> open(read, store, "cut.zst")) in ("truncated", "corrupt")
        S3dlio.put(store, "junk.zst", "this is not zstd")
        @test status(() -> open(read, store, "junk.zst")) == "corrupt"
    end
end
