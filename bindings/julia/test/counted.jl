# Runs tests and prints `S3DLIO-COUNT passed failed` for tests/julia/run.sh.
using Test

passes(set) = set.n_passed + sum(Int[passes(r) for r in set.results if r isa Test.AbstractTestSet])

function counted(f, name)
    passed, failed = try
        set = @testset "$name" begin
            f()
        end
        passes(set), 0
    catch e
        e isa Test.TestSetException || rethrow()
        e.pass, e.fail + e.error + e.broken
    end
    println("S3DLIO-COUNT ", passed, " ", failed)
    failed == 0 || exit(1)
end
