# What only local files show: the bytes on disk, links, permissions.
module LocalTests

using Test, Random, S3dlio, Main.Suite
using Main.Suite: caught, status, eventually

# Permissions do not bind root; this thread gives its rights on files up for a while.
function as_nobody(f)
    before = ccall(:setfsuid, Cint, (Cuint,), 65534)
    try
        f()
    finally
        ccall(:setfsuid, Cint, (Cuint,), before)
    end
end

@noinline leave_unfinished(store, data) = (write(Writer(store, "w1"), data); nothing)

for scheme in ("file", "direct")
    @testset "S5 $scheme on disk" begin
        folder = mktempdir()
        store = Store("$scheme://$folder/root")
        data = rand(UInt8, 70_001)
        S3dlio.put(store, "sub/k", data)
        path = joinpath(folder, "root", "sub", "k")
        @test read(path) == data                            # exactly the bytes, read by Julia itself

        # a byte flipped on disk
        open(path, "r+") do file
            seek(file, 40_000)
            write(file, data[40_001] ⊻ 0x01)
        end
        @test status(() -> S3dlio.validate(store, "sub/k"; crc32c = crc32c(data))) == "checksum_mismatch"
        @test status(() -> S3dlio.validate(store, "sub/k"; offset = 39_000, length = 2000,
            crc32c = crc32c(data[39_001:41_000]))) == "checksum_mismatch"
        S3dlio.validate(store, "sub/k"; length = 40_000, crc32c = crc32c(data[1:40_000]))

        # keys that leave the root
        for key in ("../x", "/etc/passwd", "a/../../x", "..", "a//b", "a/")
            @test status(() -> S3dlio.get(store, key)) == "invalid_key"
            @test status(() -> S3dlio.put(store, key, "x")) == "invalid_key"
            @test status(() -> Writer(store, key)) == "invalid_key"
        end
        mkdir(joinpath(folder, "outside"))
        write(joinpath(folder, "outside", "secret"), "x")
        symlink("../outside", joinpath(folder, "root", "link"))
        @test status(() -> S3dlio.get(store, "link/secret")) == "invalid_key"
        @test !isfile(joinpath(folder, "x"))
        rm(joinpath(folder, "root", "link"))

        # abort, an exception and a collected writer leave no file of any name
        leave_unfinished(store, data)
        io = Writer(store, "w2")
        write(io, data)
        S3dlio.abort(io)
        @test_throws ErrorException open(io -> (write(io, data); error("x")), store, "w3", "w")
        left() = [f for (_, _, files) in walkdir(joinpath(folder, "root")) for f in files]
        eventually(() -> (GC.gc(); left() == ["k"]))
        @test left() == ["k"]

        @test status(() -> collect(S3dlio.list(Store("$scheme://$folder/missing")))) == "container_not_found"
        @test status(() -> S3dlio.get(Store("$scheme://$folder/missing"), "k")) in ("not_found", "container_not_found")
        if Sys.islinux()
            locked = mkdir(joinpath(folder, "locked"))
            write(joinpath(locked, "k"), "x")
            chmod(locked, 0o000)
            unreadable = Store("$scheme://$locked")
            as_nobody() do
                e = caught(() -> S3dlio.get(unreadable, "k"))
                @test e.status == "permission_denied" && e.errno == 13
                @test status(() -> collect(S3dlio.list(unreadable))) == "permission_denied"
                @test status(() -> S3dlio.put(unreadable, "new", "x")) == "permission_denied"
                for call in (() -> Checkpoint(unreadable), () -> CheckpointWriter(unreadable, 1))
                    e = caught(call)
                    @test e.status == "permission_denied" && e.errno == 13 && occursin(locked, e.message)
                end
            end
            chmod(locked, 0o700)
        end
    end
end

# A full disk, where one can be mounted.
if Sys.islinux() && ccall(:geteuid, Cuint, ()) == 0
    @testset "C1 a full disk" begin
        folder = mktempdir()
        mounted = ccall(:mount, Cint, (Cstring, Cstring, Cstring, Culong, Cstring), "tmpfs", folder, "tmpfs", 0, "size=1m")
        if mounted == 0
            try
                store = Store("file://$folder/base")
                CheckpointWriter(w -> S3dlio.put_tensors(w, "a" => [1, 2]), store, 1)
                w = CheckpointWriter(store, 2)
                e = caught(() -> S3dlio.put_tensors(w, "big" => rand(UInt8, 2_000_000)))
                @test e.status == "no_space" && e.errno == 28 && occursin(folder, e.message)
                @test status(() -> S3dlio.commit(w)) == "no_space"      # the first error stays
                close(w)
                @test S3dlio.checkpoints(store) == [1] && Checkpoint(store)["a"] == [1, 2]
            finally
                ccall(:umount2, Cint, (Cstring, Cint), folder, 2)
            end
        else
            @info "no full disk: this sandbox does not let mount"
        end
    end
end

@testset "C4 the launcher's world" begin
    variables = ("RANK", "WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "PMI_RANK", "PMI_SIZE", "SLURM_PROCID", "SLURM_NTASKS")
    withenv((name => nothing for name in variables)...) do
        @test status(World) == "not_found"
        withenv("PMI_RANK" => "2", "PMI_SIZE" => "4") do
            world = World()
            @test (world.rank, world.world_size, world.launcher) == (2, 4, "mpich")
        end
        withenv("PMI_RANK" => "4", "PMI_SIZE" => "4") do
            e = caught(World)
            @test e.status == "invalid_argument" && occursin("PMI_RANK", e.message)
        end
    end
end

end
