# The example runs as a user would start it, and so does every example of the guide.
include(joinpath(@__DIR__, "..", "..", "bindings", "julia", "test", "counted.jl"))

const ROOT = normpath(joinpath(@__DIR__, "..", ".."))

# The guide's blocks as one program, each in its order.
function guide_program()
    blocks = eachmatch(r"^```julia\n(.*?)^```$"ms, read(joinpath(ROOT, "docs", "julia.md"), String))
    join((block[1] for block in blocks), "\n")
end

counted("examples/julia") do
    program = guide_program()
    @test length(collect(eachmatch(r"@assert", program))) >= 10
    path, io = mktemp()
    write(io, program)
    close(io)
    @test success(pipeline(`$(Base.julia_cmd()) --startup-file=no --project=$ROOT/bindings/julia $path`;
        stdout = devnull, stderr = stderr))

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
