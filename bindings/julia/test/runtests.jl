# The package's own tests: everything that needs no server. Run them with
#   julia --project=bindings/julia bindings/julia/test/runtests.jl
# S3DLIO_LIBRARY names the library under test, S3DLIO_HEADER its header if not include/s3dlio.h.
include("counted.jl")
include("suite.jl")

const FOLDER = mktempdir()

counted("S3dlio.jl") do
    include("abi.jl")
    include("library.jl")
    Suite.run(Suite.Target("memory", "memory://" * Suite.unique_name("jl"), Dict()))
    Suite.run(Suite.Target("file", "file://" * joinpath(FOLDER, "plain"), Dict("file.sync" => "false")))
    Suite.run(Suite.Target("direct", "direct://" * joinpath(FOLDER, "direct"), Dict("file.sync" => "false")))
    include("local.jl")
    include("async.jl")
    include("formats.jl")
end
