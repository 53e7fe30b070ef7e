# SPEC F1: file formats as bytes, there and back, in pieces, and their errors.
module FormatTests

using Test, S3dlio, Main.Suite
using Main.Suite: caught, status

@testset "F1 TFRecord and its indexes" begin
    given = Any[UInt8[], "hello", rand(UInt8, 1000), Float32[1, 2]]
    file = S3dlio.tfrecord(given)
    @test length(file) == 4 * 16 + 5 + 1000 + 8
    found = S3dlio.tfrecord_records(file)
    @test found == [UInt8[], codeunits("hello"), given[3], reinterpret(UInt8, given[4])]
    @test parent(found[3]) === file && S3dlio.tfrecord_records(UInt8[]) == []
    for kind in (:pairs, :text)
        index = S3dlio.tfrecord_index(file; kind = kind)
        frames = S3dlio.tfrecord_frames(index; file_size = length(file))
        @test frames == S3dlio.tfrecord_frames(index) && [f.length for f in frames] == [16, 21, 1016, 24]
        offset, count = frames[3]
        @test only(S3dlio.tfrecord_records(file[offset+1:offset+count])) == given[3]
        @test status(() -> S3dlio.tfrecord_frames(index; file_size = length(file) + 1)) == "corrupt"
    end
    @test String(S3dlio.tfrecord_index(file; kind = :text)) == "0 16\n16 21\n37 1016\n1053 24\n"
    @test status(() -> S3dlio.tfrecord_index(file; kind = :csv)) == "invalid_argument"
    @test status(() -> S3dlio.tfrecord_records(file[1:end-1])) == "truncated"
    file[30] ⊻= 0x01
    e = caught(() -> S3dlio.tfrecord_records(file))
    @test e.status == "checksum_mismatch" && e.details["offset"] == "28"
    @test status(() -> S3dlio.tfrecord_index(file)) == "checksum_mismatch"
end

@testset "F1 tar" begin
    image = rand(UInt8, 1000)
    archive = S3dlio.tar(["dir/1.txt" => "hello", "x"^300 * ".jpg" => image])
    @test length(archive) % 512 == 0 && archive[513:518] == codeunits("hello\0") && all(iszero, archive[end-1023:end])
    @test length(S3dlio.tar(())) == 1024
    store = Store("memory://" * Suite.unique_name("jl-tar"))
    S3dlio.create_container(store)
    S3dlio.put(store, "a.tar", archive)
    samples = [s for batch in Loader(Dataset(S3dlio.uri(store) * "/"; format = :tar)) for s in batch]
    @test [s.name for s in samples] == ["dir/1", "x"^300]
    @test String(samples[1]["txt"]) == "hello" && samples[2]["jpg"] == image
    @test status(() -> S3dlio.tar(["" => "x"])) == "invalid_argument"
    @test status(() -> S3dlio.tar(["a\0b" => "x"])) == "invalid_argument"
end

@testset "F1 NPY, NPZ, HDF5" begin
    x = reshape(Float32.(1:24), 2, 3, 4)
    arrays = [x, Int64[7, -1], fill(2.5), Bool[true, false], zeros(UInt16, 0, 3), ComplexF64[1+2im]]
    for array in arrays
        file = S3dlio.npy(array)
        info = S3dlio.npy_info(file)
        @test info.shape == reverse(size(array)) && !info.fortran_order && info.offset + info.length == length(file)
        again = S3dlio.npy_array(file)
        @test typeof(again) == typeof(array) && size(again) == size(array) && again == array
    end
    file = S3dlio.npy(x)
    head = file[1:128]
    @test S3dlio.npy_info(head, length(file)) == S3dlio.npy_info(file) && S3dlio.npy_info(file).descr == "<f4"
    e = caught(() -> S3dlio.npy_info(head[1:20], length(file)))
    @test e.status == "buffer_too_small" && e.details["required"] == "128"
    @test status(() -> S3dlio.npy_info(head, length(file) - 1)) == "truncated"
    @test status(() -> S3dlio.npy_array(codeunits("no array here"))) == "corrupt"
    # Of NumPy in Julia's order: the flag and the shape of the text in the head are changed.
    fortran = copy(file)
    text = String(file[11:128])
    fortran[11:128] = codeunits(replace(replace(text, "False" => "True "), "(4, 3, 2)" => "(2, 3, 4)"))
    @test S3dlio.npy_info(fortran).fortran_order && S3dlio.npy_array(fortran) == x
    times = copy(file)
    times[11:128] = codeunits(replace(text, "<f4" => "<V4"))
    @test status(() -> S3dlio.npy_array(times)) in ("unsupported", "corrupt")
    @test status(() -> S3dlio.npy(['a', 'b'])) == "invalid_argument"

    given = ["x" => x, "label" => Int64[7, -1], "one" => fill(2.5)]
    file = S3dlio.npz(given)
    members = S3dlio.npz_members(file)
    @test [m.name for m in members] == ["x.npy", "label.npy", "one.npy"] && S3dlio.npz(given) == file
    for ((_, array), m) in zip(given, members)
        @test S3dlio.npy_array(S3dlio.npz_unpack(m, file[m.offset+1:m.offset+m.length])) == array
    end
    m = members[1]
    @test status(() -> S3dlio.npz_unpack(m, file[m.offset+1:m.offset+20])) == "truncated"
    damaged = copy(file)
    damaged[m.packed] ⊻= 0x01
    @test status(() -> S3dlio.npz_unpack(m, damaged)) == "checksum_mismatch"
    @test status(() -> S3dlio.npz(["x" => x, "x" => x])) == "invalid_argument"
    @test status(() -> S3dlio.npz(["a\0b" => x])) == "invalid_argument"

    file = S3dlio.hdf5(given[1:2])
    @test file[1:8] == b"\x89HDF\r\n\x1a\n"
    bytes = Vector{UInt8}(reinterpret(UInt8, vec(x)))
    @test findfirst(String(bytes), String(Vector{UInt8}(file))) !== nothing
    @test status(() -> S3dlio.hdf5(["flag" => Bool[true]])) == "invalid_argument"
end

end
