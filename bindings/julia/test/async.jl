# Calls that wait as tasks: many at once on one thread, other tasks and the garbage collector go on.
module AsyncTests

using Test, S3dlio, Sockets, Main.Suite
using Main.Suite: status

@testset "tasks wait without their thread" begin
    for uri in ("memory://jl-async", "file://" * mktempdir() * "/root")
        store = Store(uri; file_sync = false)
        @sync for i in 1:200
            @async begin
                data = rand(UInt8, 1000 + i)
                @test S3dlio.aput(store, "k$i", data).bytes == 1000 + i
                @test S3dlio.aget(store, "k$i") == data
                @test S3dlio.aget_range(store, "k$i", 10, 5) == data[11:15]
                got = zeros(UInt8, 2000)
                @test S3dlio.aget_into!(store, "k$i", got) == 1000 + i && got[1:1000+i] == data
                @test S3dlio.astat(store, "k$i").size == 1000 + i
                isodd(i) && S3dlio.adelete(store, "k$i")
                i % 50 == 0 && GC.gc()
            end
        end
        @test length(collect(S3dlio.list(store, ""))) == 100
        @test status(() -> S3dlio.aget(store, "k1")) == "not_found"
        @test status(() -> S3dlio.aget(store, "a\0")) == "invalid_key"
        reader = Reader(store, "k2")
        piece = zeros(UInt8, 10)
        @test S3dlio.aread_at!(reader, 3, piece) == 10 && piece == S3dlio.get_range(store, "k2", 3, 10)
        close(reader)
    end
end

@testset "listings, readers and writers wait without their thread" begin
    store = Store("file://" * mktempdir() * "/root"; file_sync = false)
    @sync for i in 1:20
        @async begin
            data = rand(UInt8, 100_000 + i)
            w = Writer(store, "streamed/$i")
            @test S3dlio.awrite(w, data) == 100_000 + i
            @test S3dlio.awrite(w, "end") == 3
            i % 5 == 0 && GC.gc()
            if iseven(i)
                @test S3dlio.afinish(w).bytes == 100_003 + i
                close(w)
                r = S3dlio.areader(store, "streamed/$i")
                @test read(r) == vcat(data, b"end")
                close(r)
            else
                S3dlio.aabort(w)
                @test !isopen(w) && S3dlio.aabort(w) === nothing
            end
        end
    end
    found = S3dlio.alist(store, "streamed/")
    @test [o.key for o in found] == sort(["streamed/$i" for i in 2:2:20])
    @test all(o.size > 100_000 for o in found)
    @test isempty(S3dlio.alist(store, "nothing/"))
    @test [o.key for o in S3dlio.alist(store; recursive = false)] == ["streamed/"]
    @test status(() -> S3dlio.areader(store, "streamed/1")) == "not_found"
    tuned = S3dlio.areader(store, "streamed/2"; reader_read_ahead = 0)
    @test filesize(tuned) == 100_005
    close(tuned)
end

@testset "a server that does not answer holds up its own task only" begin
    port, server = listenany(ip"127.0.0.1", 20000)
    store = Store("s3://silent"; s3_endpoint = "http://127.0.0.1:$port", s3_region = "us-east-1",
        s3_access_key_id = "a", s3_secret_access_key = "b")
    got = zeros(UInt8, 1000)
    task = @async S3dlio.aget_into!(store, "k", got)
    ticks = 0
    for _ in 1:100
        ticks += 1
        yield()
    end
    GC.gc()
    @test ticks == 100 && !istaskdone(task)
    # an exception in the waiting task cancels the operation and comes when the memory is free
    schedule(task, InterruptException(); error = true)
    @test_throws Exception wait(task)
    @test task.exception isa InterruptException
    close(server)
end

end
