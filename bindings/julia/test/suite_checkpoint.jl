# Checkpoints (C1 to C4): part of suite.jl.

# The whole array, and what rank `rank` of `size` has of its last axis.
matrix() = reshape(Float32.(1:8*6), 8, 6)
columns(rank, size) = (rank*6÷size+1):((rank+1)*6÷size)

function put_part(w, rank, size)
    whole = matrix()
    at = (:, columns(rank, size))
    S3dlio.put_tensors(w, Tensor("w", whole[at...]; whole = (8, 6), at = at))
    S3dlio.put_tensors(w, [Tensor("same", [1, 2, 3]; replicated = true)]; shard = "replicated")
end

# All ranks one after the other, as a host with a broadcast and a barrier does.
function save(store, step, size; keywords...)
    first = CheckpointWriter(store, step; world_size = size, epoch = 4, framework = "julia",
        metadata = Dict("Any name" => "\"any\" text\n"), keywords...)
    others = [CheckpointWriter(store, step; rank = r, world_size = size, id = S3dlio.id(first), keywords...) for r in 1:size-1]
    for (i, w) in enumerate([first; others])
        put_part(w, i - 1, size)
    end
    foreach(S3dlio.finish, others)
    S3dlio.commit(first)
    S3dlio.commit(first)
    foreach(close, others)
    close(first)
end

function checkpoints(t)
    @testset "C1 C4 checkpoints of jobs of any size" begin
        store = open_store(t, "checkpoints")
        whole = matrix()
        for size in 1:3
            save(store, size, size)
            c = Checkpoint(store, size)
            @test c["w"] == whole && c["same"] == [1, 2, 3]
            for by in (1, 2, 3, 6)
                @test hcat([S3dlio.load(c, "w", :, columns(r, by)) for r in 0:by-1]...) == whole
            end
            @test c["w", 3:5, 2] == whole[3:5, 2:2]
            @test S3dlio.load(c, "w", 3:2, :) == whole[3:2, :]
            @test S3dlio.entry(c, "w").parts == size && S3dlio.entry(c, "same").parts == 1
            S3dlio.validate(c)
            S3dlio.validate(c; deep = true)
        end
        c = Checkpoint(store)
        i = S3dlio.info(c)
        @test (i.step, i.epoch, i.world_size, i.framework, i.strategy) == (3, 4, 3, "julia", "flat")
        @test i.uri == S3dlio.uri(store) * "/manifests/step-000000000003.json" && occursin("T", i.created)
        @test S3dlio.metadata(c) == Dict("Any name" => "\"any\" text\n")
        @test keys(c) == ["same", "w"] && length(c) == 2 && haskey(c, "w") && !haskey(c, "v")
        e = S3dlio.entry(c, "w")
        @test (e.type, e.dtype, e.size, e.bytes) == (Float32, "F32", (8, 6), 4 * 8 * 6)
        shards = S3dlio.shards(c)
        @test [s.rank for s in shards if s.name == "data"] == [0, 1, 2]
        @test all(S3dlio.stat(store, s.key).size == s.stored_size for s in shards)
        @test S3dlio.info(Checkpoint(store; id = i.id)).step == 3
        # many boxes at once, into memory of the caller's
        left, right = zeros(Float32, 8, 2), zeros(Float32, 8, 4)
        same = zeros(Int, 3)
        S3dlio.load!(c, ("w", :, 1:2) => left, "same" => same, ("w", :, 3:6) => right)
        @test [left right] == whole && same == [1, 2, 3]
        big = zeros(Float32, 8, 10)
        S3dlio.aload!(c, "w" => view(big, :, 3:8))
        @test big[:, 3:8] == whole && big[:, 1:2] == zeros(8, 2)

        @test S3dlio.checkpoints(store) == [1, 2, 3]
        @test S3dlio.prune_checkpoints(store, 1; keep_every = 2) == 1
        @test S3dlio.checkpoints(store) == [2, 3]
        S3dlio.delete_checkpoint(store, 3)
        @test S3dlio.info(Checkpoint(store)).step == 2
        close(c)
        close(c)
        @test status(() -> c["w"]) == "bad_handle"
    end
    @testset "C2 compressed, and spread over prefixes" begin
        store = open_store(t, "packed")
        save(store, 1, 2; writer_compression = "zstd", checkpoint_strategy = "round_robin", checkpoint_prefixes = 2)
        c = Checkpoint(store)
        @test c["w", 2:7, 3:4] == matrix()[2:7, 3:4] && S3dlio.info(c).strategy == "round_robin"
        @test all(endswith(s.key, ".zst") for s in S3dlio.shards(c))
        @test any(startswith(s.key, "shards/0001/") for s in S3dlio.shards(c))
        S3dlio.validate(c; deep = true)
    end
    @testset "C4 element types and shapes" begin
        store = open_store(t, "types")
        arrays = Dict{String,Any}(string(T) => T == Bool ? rand(Bool, 3, 2) : T <: Integer ? rand(T, 3, 2) : T.(rand(0:9, 3, 2))
            for T in keys(S3dlio.DTYPE_NAMES))
        arrays["scalar"] = fill(2.5)
        arrays["empty"] = zeros(Int32, 0, 4)
        arrays["deep"] = rand(2, 3, 4, 5)
        arrays["part"] = view(rand(5, 9), :, 2:4)
        CheckpointWriter(store, 1) do w
            S3dlio.put_tensors(w, arrays)
            S3dlio.put_tensors(w, Tensor("half", UInt16[1, 2]; dtype = "BF16"); shard = "half")
        end
        c = Checkpoint(store, 1)
        for (name, array) in arrays
            @test c[name] == array && eltype(c[name]) == eltype(array)
        end
        @test c["half"] == UInt16[1, 2] && S3dlio.entry(c, "half").dtype == "BF16"
        @test c["deep", 2, :, 2:3, 5] == arrays["deep"][2:2, :, 2:3, 5:5]
        @test status(() -> S3dlio.load!(c, "deep" => zeros(Float32, 2, 3, 4, 5))) == "invalid_argument"
        @test status(() -> S3dlio.load!(c, "deep" => zeros(5, 4, 3, 2))) == "invalid_argument"
        @test status(() -> c["deep", 1:3, :, :, :]) == "range"
        @test status(() -> c["deep", 1]) == "invalid_argument"
        @test status(() -> Tensor("x", ['a'])) == "invalid_argument"
        @test_throws ArgumentError CheckpointWriter(w -> S3dlio.put_tensors(w, "x" => rand(4, 4)[1:2:4, :]' .> 2), store, 2)
        @test status(() -> Tensor("x", zeros(2); whole = (4,), at = (4:5,))) == "range"
        @test status(() -> Tensor("x", zeros(2); whole = (4,), at = (1:3,))) == "invalid_argument"
    end
    @testset "C1 streamed shards" begin
        store = open_store(t, "streams")
        data, floats = rand(UInt8, 2_000_000), rand(Float32, 100, 50)
        CheckpointWriter(store, 1) do w
            S3dlio.open_shard(w; shard = "bytes") do io
                for from in 1:300_000:length(data)
                    @test write(io, view(data, from:min(length(data), from + 299_999))) > 0
                end
            end
            io = S3dlio.open_shard(w, ["f" => (Float32, (100, 50)), "b" => (UInt8, (1000,))]; shard = "tensors")
            write(io, floats)
            memory = S3dlio.reserve(io, 1000)
            copyto!(memory, 1, data, 1, 1000)
            S3dlio.commit(io, 1000)
            @test isempty(memory)
            @test status(() -> write(io, 0x01)) == "invalid_argument"
            @test S3dlio.finish(io).bytes > 21_000
            close(io)
            @test_throws ErrorException S3dlio.open_shard(io -> (write(io, data); error("x")), w; shard = "dropped")
        end
        c = Checkpoint(store)
        @test S3dlio.read_shard(c, 0, "bytes") == data
        @test c["f"] == floats && c["b"] == data[1:1000]
        @test status(() -> S3dlio.read_shard(c, 0, "dropped")) == "not_found"
    end
    @testset "C1 snapshots are saved by a task" begin
        store = open_store(t, "async")
        state = rand(300, 1000)
        before = copy(state)
        w = CheckpointWriter(store, 1)
        S3dlio.snapshot_tensors(w, "state" => state)
        state .= 0
        task = @async S3dlio.acommit(w)
        while !istaskdone(task)
            yield()
        end
        wait(task)
        close(w)
        c = Checkpoint(store)
        S3dlio.aload!(c, "state" => state)
        @test state == before
        # without a copy
        memory = Buffer(8000)
        inside = reinterpret(Float64, memory)
        inside .= 2.5
        w = CheckpointWriter(store, 2)
        @test_throws ArgumentError S3dlio.snapshot_buffers(w, ["state" => inside], Buffer[])
        @test status(() -> S3dlio.snapshot_buffers(w, ["state" => rand(1000)], [memory])) == "invalid_argument"
        S3dlio.snapshot_buffers(w, ["state" => inside], [memory])
        close(memory)
        S3dlio.acommit(w)
        close(w)
        @test Checkpoint(store, 2)["state"] == fill(2.5, 1000)
        # ranks as tasks, which agree through the storage
        store2 = open_store(t, "ranks")
        @sync for rank in 0:2
            @async begin
                world = World(rank, 3, 0, 1, "test", "this launch")
                w = Threads.@spawn CheckpointWriter(store2, 5, world)
                w = fetch(w)
                put_part(w, rank, 3)
                S3dlio.acommit(w)
                close(w)
            end
        end
        @test Checkpoint(store2)["w"] == matrix()
        # one that waits for a rank that never comes
        w = CheckpointWriter(store, 3; world_size = 2)
        task = @async S3dlio.acommit(w)
        yield()
        @test !istaskdone(task)
        schedule(task, InterruptException(); error = true)
        @test_throws Exception wait(task)
        S3dlio.abort(w)
        @test !isopen(w) && S3dlio.abort(w) === nothing
        @test S3dlio.checkpoints(store) == [1, 2]
    end
    @testset "C1 C4 errors of checkpoints" begin
        store = open_store(t, "errors")
        e = caught(() -> Checkpoint(store))
        @test e.status == "not_found" && occursin("no committed checkpoint", e.message)
        @test_throws ErrorException CheckpointWriter(w -> (put_part(w, 0, 1); error("mine")), store, 1)
        @test S3dlio.checkpoints(store) == Int[]
        first = CheckpointWriter(store, 1; world_size = 2, checkpoint_timeout_ms = 200)
        put_part(first, 0, 2)
        e = caught(() -> S3dlio.commit(first))
        @test e.status == "timeout" && e.details["missing_ranks"] == "1" && occursin("1 of 2 ranks", e.message)
        other = CheckpointWriter(store, 1; rank = 1, world_size = 2, id = S3dlio.id(first))
        twin = CheckpointWriter(store, 1; rank = 1, world_size = 2, id = S3dlio.id(first))
        put_part(other, 1, 2)
        S3dlio.finish(other)
        e = caught(() -> S3dlio.finish(twin))
        @test e.status == "already_exists" && occursin("rank 1", e.message)
        S3dlio.commit(first)
        e = caught(() -> CheckpointWriter(store, 1))
        @test e.status == "already_exists" && occursin("step 1 has a committed checkpoint", e.message)
        @test status(() -> S3dlio.abort(first)) == "invalid_state"
        two = CheckpointWriter(store, 2; world_size = 2)
        four = CheckpointWriter(store, 2; rank = 1, world_size = 4, id = S3dlio.id(two))
        S3dlio.finish(four)
        e = caught(() -> S3dlio.commit(two))
        @test e.status == "invalid_argument" && occursin("rank 1 saved as one of 4 ranks, but this save is of 2", e.message)
        two = CheckpointWriter(store, 3; world_size = 2)
        S3dlio.abort(CheckpointWriter(store, 3; rank = 1, world_size = 2, id = S3dlio.id(two)))
        e = caught(() -> S3dlio.commit(two))
        @test e.status == "cancelled" && e.details["rank"] == "1"
        @test status(() -> CheckpointWriter(store, 4; rank = 1, world_size = 2)) == "invalid_argument"
        @test status(() -> CheckpointWriter(store, 4; rank = -1)) == "invalid_argument"
        @test status(() -> CheckpointWriter(store, 4; framework = "a\0")) == "invalid_argument"
        @test status(() -> Checkpoint(store, 9)) == "not_found"
        @test status(() -> Checkpoint(store; id = "x")) == "invalid_argument"
        @test status(() -> S3dlio.delete_checkpoint(store, 9)) == "not_found"
        @test status(() -> S3dlio.prune_checkpoints(store, 0)) == "invalid_argument"
        c = Checkpoint(store)
        @test status(() -> c["v"]) == "not_found"
        @test status(() -> S3dlio.load!(c, "same" => zeros(Int, 3); rank = 9)) == "invalid_argument"
        # damage is named
        key = [s.key for s in S3dlio.shards(c) if s.name == "data"][1]
        bytes = read(store, key)
        bytes[end] ⊻= 0x01
        S3dlio.put(store, key, bytes)
        for broken in (() -> c["w"], () -> S3dlio.validate(c; deep = true), () -> S3dlio.read_shard(c, 0))
            e = caught(broken)
            @test e.status == "checksum_mismatch" && occursin(key, e.message)
        end
        S3dlio.put(store, key, bytes[1:end-1])
        e = caught(() -> S3dlio.validate(c))
        @test e.status == "truncated" && occursin(key, e.message)
        S3dlio.put(store, "manifests/step-000000000007.json", "nothing of ours")
        e = caught(() -> Checkpoint(store))
        @test e.status == "corrupt" && occursin("step-000000000007.json", e.message)
        @test S3dlio.collect_checkpoints(store, 0) isa Int
    end
end
