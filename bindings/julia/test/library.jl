# The library as a whole, options, checksums, errors and loading.
module LibraryTests

using Sockets, Test, S3dlio, Main.Suite
using Main.Suite: caught, status

@testset "A1 the library" begin
    @test S3dlio.version() == v"0.1.0"
    @test S3dlio.abi_version() >> 16 == 1
    @test S3dlio.has_feature("memory") && S3dlio.has_feature("file") && !S3dlio.has_feature("floppy")
    for (name, number) in pairs(S3dlio.STATUS_NUMBERS)
        @test S3dlio.status_name(number) == lowercase(string(name))
        @test !isempty(S3dlio.status_doc(number))
    end
    @test S3dlio.status_name(-999) == "unknown"
    @test S3dlio.get_stats().handles >= 0
    @test isfile(S3dlio.LIBRARY_PATH[])
    mktemp() do path, io
        S3dlio.log_to_fd(fd(io), "debug")
        S3dlio.log_to_fd(-1)
        @test status(() -> S3dlio.log_to_fd(fd(io), "shouting")) in ("invalid_option", "invalid_argument")
    end
end

# In builds without the feature `profiling` it says how to get it; with the feature, it draws.
@testset "P1 a profile" begin
    picture(name) = joinpath(folder, name)
    busy(seconds) = (from = time_ns(); while time_ns() - from < seconds * 1e9 end; 7)
    folder = mktempdir()
    @test status(() -> S3dlio.profile(() -> error("it began"), picture("fast.svg"); hz = 1001)) == "invalid_argument"
    @test status(() -> S3dlio.profile(() -> error("it began"), "a\0b")) == "invalid_argument"
    if S3dlio.has_feature("profiling")
        second = nothing
        value = S3dlio.profile(picture("busy.svg"); hz = 500) do
            second = status(() -> S3dlio.profile(() -> error("it began"), picture("second.svg")))
            busy(0.3)
        end
        @test value == 7 && second == "invalid_state"
        @test occursin("<svg", read(picture("busy.svg"), String))
        @test status(() -> S3dlio.profile(() -> busy(0.1), picture("no/where.svg"))) == "not_found"
        @test_throws DivideError S3dlio.profile(() -> div(1, 0), picture("failed.svg"))
        # None of the two goes on.
        @test S3dlio.profile(() -> busy(0.3), picture("next.svg"); hz = 500) == 7
        @test sort(readdir(folder)) == ["busy.svg", "next.svg"]
    else
        e = caught(() -> S3dlio.profile(() -> error("it began"), picture("busy.svg")))
        @test e.status == "unsupported" && e.details["operation"] == "profile_start"
        @test occursin("--features profiling", e.details["hint"])
        e = caught(() -> S3dlio.check(err -> S3dlio.s3dlio_profile_stop(Cstring(C_NULL), err)))
        @test e.status == "unsupported" && e.details["operation"] == "profile_stop"
        @test isempty(readdir(folder))
    end
end

@testset "I1 CRC32C" begin
    @test crc32c("123456789") == 0xe3069283
    @test crc32c("") == 0x00000000
    @test crc32c(zeros(UInt8, 32)) == 0x8a9136aa
    @test crc32c(fill(0xff, 32)) == 0x62a8ab43
    @test crc32c("6789", crc32c("12345")) == 0xe3069283
    @test S3dlio.crc32c_combine(crc32c("12345"), crc32c("6789"), 4) == 0xe3069283
    @test crc32c([1.0, 2.0]) == crc32c(reinterpret(UInt8, [1.0, 2.0]) |> collect)
    @test crc32c(SubString("x123456789y", 2, 10)) == 0xe3069283
    @test crc32c(codeunits("123456789")) == 0xe3069283
end

@testset "S1 options" begin
    table = S3dlio.option_table()
    @test length(table) > 20
    row = only(filter(r -> r.key == "transfer.part_size", table))
    @test row.type == "size" && "S3DLIO_PART_SIZE" in row.env && !isempty(row.doc)
    options = Options("transfer.part_size" => "8MiB", Dict("s3.region" => "eu"); net_max_attempts = 3)
    @test options["transfer.part_size"] == "8388608"
    @test options["s3.region"] == "eu" && options["net.max_attempts"] == "3"
    other = Base.copy(options)
    other["s3.region"] = "us"
    @test options["s3.region"] == "eu" && other["s3.region"] == "us"
    @test Options(options, "s3.region" => "ap")["s3.region"] == "ap" && options["s3.region"] == "eu"
    @test status(() -> Options("s3.region" => "ap", options)) == "invalid_argument"
    options["s3.anonymous"] = true
    @test options["s3.anonymous"] == "true"
    e = caught(() -> Options("transfer.partsize" => 1))
    @test e.status == "unknown_option" && occursin("transfer.part_size", sprint(showerror, e))
    @test status(() -> Options(nonsense = 1)) == "unknown_option"
    @test status(() -> options["nonsense"]) == "unknown_option"
    for value in ("1MiB", "-1", -1, "8 parsecs", "99999999999999999999", "a\0b")
        @test status(() -> Options("transfer.part_size" => value)) == "invalid_option"
    end
    @test status(() -> Options(writer_compression = "gzip")) == "invalid_option"

    # secrets are masked everywhere
    secret = Options("s3.secret_access_key" => "canary")
    @test secret["s3.secret_access_key"] == "***"
    shown = string(secret) * sprint(show, secret) * sprint(show, MIME"text/plain"(), secret) *
        sprint(showerror, caught(() -> Options("s3.secret_access_key" => "canary\0")))
    @test !occursin("canary", shown)
end

@testset "S1 malformed URIs" begin
    for uri in ("", "bucket/key", "gs://b/k", "s3:/b", "file://relative", "az://", "memory://",
        "s3:///key", "s3://bu cket/k", "s3://a\0b", "://x", "s3://user:canary@b ad/x")
        e = caught(() -> Store(uri))
        @test e.status == "invalid_uri" && e.code == S3dlio.ERR_INVALID_URI
        @test !occursin("canary", sprint(showerror, e))
    end
    @test status(() -> S3dlio.get("nonsense")) == "invalid_uri"
    @test status(() -> S3dlio.get("memory://name")) == "invalid_uri"
    @test status(() -> Store("memory://x"; nonsense_option = 1)) == "unknown_option"
    @test status(() -> Store("memory://x"; transfer_part_size = 1)) == "invalid_option"
    @test occursin("memory://shown", string(Store("memory://shown")))
end

const PROJECT = dirname(@__DIR__)

# Runs a program with this package in a process of its own: whether it succeeded, and what it said.
function program(text, library = S3dlio.LIBRARY_PATH[])
    output = IOBuffer()
    command = `$(Base.julia_cmd()) --startup-file=no --project=$PROJECT -e $text`
    process = run(pipeline(ignorestatus(setenv(command, merge(ENV, Dict("S3DLIO_LIBRARY" => library))));
        stdout = output, stderr = output))
    return success(process), String(take!(output))
end

@testset "A3 loading the library" begin
    loading(library) = program("using S3dlio", library)
    fine, said = loading("/nonexistent/libs3dlio.so")
    @test !fine && occursin("/nonexistent/libs3dlio.so", said) && occursin("S3DLIO_LIBRARY", said)
    fine, said = loading("libc.so.6")
    @test !fine && occursin("is not libs3dlio", said)
    fine, said = loading(S3dlio.LIBRARY_PATH[])
    @test fine && said == ""
end

@testset "A3 a collection does not wait for a call" begin
    @test Threads.nthreads() >= 2           # set JULIA_NUM_THREADS
    port, listener = listenany(ip"127.0.0.1", 20_000)
    store = Store("s3://bucket"; s3_endpoint = "http://127.0.0.1:$port", s3_access_key_id = "x",
        s3_secret_access_key = "x", s3_region = "us-east-1", net_max_attempts = 1)
    events = Channel{Any}(2)
    Threads.@threads :static for thread in 1:2
        if thread == 2
            put!(events, status(() -> S3dlio.get(store, "k")))      # blocks until the server hangs up
        else
            connection = accept(listener)
            GC.gc()
            put!(events, :collected)
            close(connection)
        end
    end
    @test take!(events) === :collected
    @test take!(events) == "connection"
    close(listener)
end

@testset "A3 a program may exit at any time" begin
    folder = mktempdir()
    fine, said = program("""
        using S3dlio
        store = Store("file://$folder")
        S3dlio.put(store, "k", "x")
        reader, writer = Reader(store, "k"), Writer(store, "unfinished")
        write(writer, zeros(UInt8, 1 << 20))
        buffer, lister = S3dlio.get(store, "k"), iterate(S3dlio.list(store))
        Threads.@spawn while true S3dlio.get(store, "k") end
        sleep(0.2)
        exit(0)
        """)
    @test fine && said == ""
    @test readdir(folder) == ["k"]
end

@testset "A3 shutdown" begin
    fine, said = program("""
        using S3dlio
        store = Store("memory://x")
        S3dlio.put(store, "k", "x")
        reader = Reader(store, "k")
        S3dlio.shutdown(60_000)
        status = try read(reader) catch e e.status end
        print(status, " ", read(store, "k", String))
        """)
    @test fine && said == "shutdown x"
end

end
