# The Julia binding against real servers:
#   python3 tests/support/servers.py run -- tests/julia/run.sh
const TEST = joinpath(@__DIR__, "..", "..", "bindings", "julia", "test")
include(joinpath(TEST, "counted.jl"))
include(joinpath(TEST, "suite.jl"))
using Sockets, Test, S3dlio
using .Suite: Target, caught, status, unique_name, open_store

const AZURITE_KEY =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

# A missing server is a failure, never a skipped test.
function server(variable)
    value = get(ENV, variable, "")
    isempty(value) && error("$variable is not set; run: python3 tests/support/servers.py run -- tests/julia/run.sh")
    return value
end

s3_settings(variable; secret = "s3dliotestsecret") = Dict(
    "s3.endpoint" => server(variable), "s3.access_key_id" => "s3dliotest",
    "s3.secret_access_key" => secret, "s3.region" => "us-east-1")

azure_settings(; key = AZURITE_KEY) =
    Dict("azure.endpoint" => server("S3DLIO_TEST_AZURITE"), "azure.account_key" => key)

# Creates the container of the target, runs, and removes it.
function with_container(f, name, root, settings)
    store = Store(root, settings)
    S3dlio.create_container(store)
    try
        f(Target(name, root, settings))
    finally
        S3dlio.delete_prefix(store, "")
        S3dlio.delete_container(store)
    end
    @test status(() -> collect(S3dlio.list(store))) == "container_not_found"
end

# What every cloud store must refuse, and how; `wrong` are settings with wrong credentials.
function refusals(t::Target, missing_root, wrong, endpoint_key)
    @testset "S3 refusals of $(t.name)" begin
        absent = Store(missing_root, t.settings)
        @test status(() -> collect(S3dlio.list(absent))) == "container_not_found"
        @test status(() -> S3dlio.get(absent, "k")) in ("container_not_found", "not_found")
        @test status(() -> S3dlio.put(absent, "k", "x")) == "container_not_found"
        @test status(() -> open(io -> write(io, "x"), absent, "k", "w")) == "container_not_found"

        if t.name == "s3b"                  # the one server that checks no signatures
            @test S3dlio.put(Store(t.root, wrong), "k", "x").finished
        else
            e = caught(() -> S3dlio.put(Store(t.root, wrong), "k", "x"))
            @test e.status in ("unauthenticated", "permission_denied") && e.http_status == 403
            @test !occursin("canary", sprint(showerror, e)) && !any(occursin.("canary", values(e.details)))
        end

        port, socket = listenany(ip"127.0.0.1", 20_000)     # a port that nothing listens on
        close(socket)
        path = t.name == "azurite" ? "/devstoreaccount1" : ""
        elsewhere(host) = Store(t.root, merge(t.settings,
            Dict(endpoint_key => "http://$host$path", "net.max_attempts" => "2")))
        e = caught(() -> S3dlio.get(elsewhere("127.0.0.1:$(Int(port))"), "k"))
        @test e.status == "connection" && e.retryable
        e = caught(() -> S3dlio.get(elsewhere("no-such-host.invalid"), "k"))
        @test e.status == "dns" && e.retryable
    end
end

container_listed(t::Target) =
    last(split(t.root, '/')) in [c.key for c in S3dlio.list_containers(open_store(t))]

counted("S3dlio.jl with servers") do
    for (name, variable) in (("seaweed", "S3DLIO_TEST_SEAWEED"), ("s3b", "S3DLIO_TEST_S3B"))
        @testset "$name" begin
            with_container(name, "s3://" * unique_name("jl"), s3_settings(variable)) do target
                Suite.run(target)
                @test container_listed(target)
                refusals(target, "s3://" * unique_name("jl-missing"),
                    s3_settings(variable; secret = "canary"), "s3.endpoint")
            end
        end
    end
    @testset "azurite" begin
        with_container("azurite", "az://devstoreaccount1/" * unique_name("jl"), azure_settings()) do target
            Suite.run(target)
            @test container_listed(target)
            refusals(target, "az://devstoreaccount1/" * unique_name("jl-missing"),
                azure_settings(key = "Y2FuYXJ5Y2FuYXJ5"), "azure.endpoint")
        end
    end
end
