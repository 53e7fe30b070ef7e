# The example runs as a user would start it, on a local folder and in memory.
include(joinpath(@__DIR__, "..", "..", "bindings", "julia", "test", "counted.jl"))

const ROOT = normpath(joinpath(@__DIR__, "..", ".."))

counted("examples/julia") do
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
