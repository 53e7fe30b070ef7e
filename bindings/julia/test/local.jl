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
            end
            chmod(locked, 0o700)
        end
    end
end

end
