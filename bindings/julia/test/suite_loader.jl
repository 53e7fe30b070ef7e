# Datasets and loaders (L1, L2), generated objects (F2): part of suite.jl.

loader_item(i) = UInt8[(i * 7 + k * 13) % 256 for k in 1:100+i]

function loaders(t)
    @testset "L1 datasets, loaders and batches" begin
        store = open_store(t, "loader")
        uris = map(1:30) do i
            key = "data/$(100 + i).bin"
            S3dlio.put(store, key, loader_item(i))
            S3dlio.uri(store) * "/" * key
        end
        S3dlio.put(store, "data/readme.txt", "no item")
        root = S3dlio.uri(store) * "/data/"
        streamed = Dataset(root, t.settings; glob = "*.bin")
        @test length(streamed) === nothing
        seen = 0
        loader = Loader(streamed; batch_size = 7)
        kept = Batch[]
        for batch in loader
            @test batch isa AbstractVector{Sample} && length(batch) == min(7, 30 - seen)
            for sample in batch
                seen += 1
                @test sample.index == seen && sample.data == loader_item(seen) && sample.name == ""
                @test endswith(sample.uri, "/data/$(100 + seen).bin") && sample[""] == sample.data
            end
            push!(kept, batch)
        end
        @test seen == 30 && iterate(loader) === nothing
        stats = S3dlio.get_stats(loader)
        @test stats.items == 30 && stats.batches == 5 && stats.skipped == 0
        close(loader)
        @test status(() -> iterate(loader)) == "bad_handle"
        sample = kept[2][3]
        gathered = zeros(UInt8, 10_000)
        offsets = S3dlio.gather!(gathered, kept[1])
        @test offsets[1] == 0 && length(offsets) == 8 && gathered[offsets[4]+1:offsets[5]] == loader_item(4)
        @test status(() -> S3dlio.gather!(zeros(UInt8, 5), kept[1])) == "buffer_too_small"
        @test status(() -> S3dlio.gather!(gathered, kept[1]; field = 2)) == "invalid_argument"
        empty!(kept)
        GC.gc()
        @test sample.data == loader_item(10)       # keeps its batch
        @test_throws ReadOnlyMemoryError sample.data[1] = 0
        @test_throws KeyError sample["jpg"]

        indexed, given = S3dlio.index(streamed), Dataset(uris, t.settings)
        @test length(indexed) == length(given) == 30
        @test given[5].data == loader_item(5)
        @test [s.index for s in S3dlio.get_many(indexed, [9, 2])] == [9, 2]
        @test status(() -> given[31]) == "invalid_argument"
        order(loader, most = typemax(Int)) = Int[s.index for batch in Iterators.take(loader, most) for s in batch]
        options = (batch_size = 4, seed = 5, loader_shuffle = "full")
        unbroken = order(Loader(given; options...))
        @test sort(unbroken) == 1:30 && unbroken != 1:30
        @test order(Loader(given; options..., epoch = 1)) != unbroken
        broken = Loader(given; options...)
        first = order(broken, 3)
        @test [first; order(Loader(given; options..., state = S3dlio.state(broken)))] == unbroken
        halves = [Loader(given; options..., rank = r, world_size = 2) for r in 0:1]
        drawn = vcat([order(half, 2) for half in halves]...)
        states = map(S3dlio.state, halves)
        for state in (states, S3dlio.merge_states(states))
            rest = vcat([order(Loader(given; options..., rank = r, world_size = 3, state = state)) for r in 0:2]...)
            @test sort([drawn; rest]) == 1:30
        end
        @test status(() -> S3dlio.merge_states(states[1:1])) == "invalid_argument"
        @test status(() -> Loader(streamed; loader_shuffle = "full")) == "invalid_argument"
        path = joinpath(mktempdir(), "manifest")
        @test S3dlio.write_manifest(root, path, t.settings; regex = "1[01].\\.bin") == 19
        @test length(S3dlio.manifest(path, t.settings)) == 19

        # Batches come while other tasks run.
        loader, count = Loader(given; batch_size = 8), 0
        while (batch = S3dlio.anext(loader)) !== nothing
            count += length(batch)
        end
        @test count == 30
    end

    @testset "F2 generated objects are drawn again" begin
        store = open_store(t, "generated")
        payload = S3dlio.generate!(zeros(UInt8, 5000), 3; seed = 8)
        for (format, field, keywords) in ((:tar, "bin", ()), (:tfrecord, "", ()), (:fixed, "", (record_size = 500,)))
            S3dlio.put(store, "$format", S3dlio.generate_object(format, 3; seed = 8, count = 10, record_size = 500))
            dataset = Dataset([S3dlio.uri(store) * "/$format"], t.settings; format = format, keywords...)
            samples = [copy(s[field]) for batch in Loader(dataset; batch_size = 3) for s in batch]
            @test length(samples) == 10 && vcat(samples...) == payload
        end
    end

    @testset "F1 members of an NPZ object by ranges" begin
        store = open_store(t, "formats")
        given = ["a-long-name-for-an-array-$i" => UInt32[i, i + 1] for i in 1:1000]
        S3dlio.put(store, "many.npz", S3dlio.npz(given))      # its directory has more than 64 KiB
        open(store, "many.npz") do file
            members = S3dlio.npz_members(file)
            @test length(members) == 1000
            for i in (1, 1000)
                @test S3dlio.npy_array(S3dlio.npz_read(file, members[i])) == UInt32[i, i + 1]
            end
        end
        S3dlio.put(store, "none.npz", "x"^100_000)
        @test status(() -> open(S3dlio.npz_members, store, "none.npz")) == "truncated"
    end
end
