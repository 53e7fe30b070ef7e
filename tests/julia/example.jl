# The example runs as a user would start it, and so does every example of the guide and the README.
include(joinpath(@__DIR__, "..", "..", "bindings", "julia", "test", "counted.jl"))

const ROOT = normpath(joinpath(@__DIR__, "..", ".."))

# A page's blocks as one program, each in its order.
function program_of(page...)
    blocks = eachmatch(r"^```julia\n(.*?)^```$"ms, read(joinpath(ROOT, page...), String))
    join((block[1] for block in blocks), "\n")
end

# Runs it as a user would.
function runs(program)
    path, io = mktemp()
    write(io, program)
    close(io)
    success(pipeline(`$(Base.julia_cmd()) --startup-file=no --project=$ROOT/bindings/julia $path`;
        stdout = devnull, stderr = stderr))
end

counted("examples/julia") do
    guide = program_of("docs", "julia.md")
    @test length(collect(eachmatch(r"@assert", guide))) >= 10
    @test runs(guide)

    # The README's is a piece of a program, on a folder of ours.
    piece = program_of("README.md")
    @test occursin("file:///data", piece)
    @test runs("""
        using S3dlio
        array = rand(Float32, 1000)
        $(replace(piece, "file:///data" => "file://" * mktempdir()))
        @assert read(store, "step-100") == reinterpret(UInt8, array)
        """)

    for uri in ("file://" * mktempdir(), "direct://" * mktempdir(), "memory://example")
        example = `$(Base.julia_cmd()) --startup-file=no --project=$ROOT/bindings/julia $ROOT/examples/julia/checkpoint.jl $uri 40`
        said = IOBuffer()
        process = run(pipeline(ignorestatus(example); stdout = said, stderr = said))
        text = String(take!(said))
        success(process) || println(text)
        @test success(process)
        @test occursin(r"save +40 MiB in .*load +40 MiB in .*crc32c:[0-9a-f]{8} verified"s, text)
        @test occursin("$uri/step-100/rank-0.bin  41943040 bytes", text)
    end
end
