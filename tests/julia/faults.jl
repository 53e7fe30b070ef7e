# The cells of tests/faults/cells.tsv: what faultd does wrong ends in exact bytes or in the true error.
include(joinpath(@__DIR__, "..", "..", "bindings", "julia", "test", "counted.jl"))
using Test, S3dlio

const AZURITE_KEY =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
const LIMITS = Dict(
    "net.max_attempts" => "3", "net.connect_timeout_ms" => "2000", "net.progress_timeout_ms" => "1000",
    "net.operation_timeout_ms" => "8000", "transfer.part_size" => "5MiB",
    "transfer.range_size" => "100000", "transfer.range_threshold" => "1MiB")

pattern(seed, length) = [(i * 31 + i ÷ 251 + seed * 101) % UInt8 for i in 0:length-1]

const SMALL, LARGE, NEW = pattern(1, 20_000), pattern(2, 2_400_000), pattern(6, 5 << 20 + 70_000)

function open_store(service, endpoints)
    service == "s3" && return Store("s3://box/root", merge(LIMITS, Dict(
        "s3.endpoint" => endpoints["FAULTD_S3"], "s3.region" => "us-east-1",
        "s3.access_key_id" => "s3dliotest", "s3.secret_access_key" => "s3dliotestsecret"))...)
    return Store("az://devstoreaccount1/box/root", merge(LIMITS, Dict(
        "azure.endpoint" => endpoints["FAULTD_AZURE"], "azure.account_key" => AZURITE_KEY))...)
end

function get_into(store)
    memory = zeros(UInt8, 20_100)
    return S3dlio.get_into!(store, "small", memory) == 20_000 && memory[1:20_000] == SMALL
end

function read_at(store)
    memory = zeros(UInt8, 5_000)
    return open(r -> S3dlio.read_at!(r, 1_000, memory), store, "large") == 5_000 && memory == LARGE[1_001:6_000]
end

function put(store)
    S3dlio.put(store, "new", NEW[1:20_000])
    return S3dlio.get(store, "new") == NEW[1:20_000]
end

function write_new(store)
    open(w -> write(w, NEW), store, "new", "w")
    return S3dlio.get(store, "new") == NEW
end

function delete(store)
    S3dlio.delete(store, "list/a")
    return !S3dlio.exists(store, "list/a")
end

const OPERATIONS = Dict{String,Function}(
    "get" => store -> S3dlio.get(store, "small") == SMALL,
    "get_into" => get_into,
    "get_large" => store -> S3dlio.get(store, "large") == LARGE,
    "get_range" => store -> S3dlio.get_range(store, "large", 1_000, 5_000) == LARGE[1_001:6_000],
    "read" => store -> open(read, store, "small") == SMALL,
    "read_at" => read_at,
    "put" => put,
    "write" => write_new,
    "stat" => store -> S3dlio.stat(store, "small").size == 20_000,
    "list" => store -> [o.key for o in S3dlio.list(store, "list/")] == ["list/a", "list/b", "list/c"],
    "delete" => delete)

function outcome_of(store, operation)
    try
        return OPERATIONS[operation](store) ? "exact" : "wrong bytes"
    catch e
        e isa S3dlioException || rethrow()
        uri, what = e.details["uri"], e.details["operation"]
        @test startswith(uri, S3dlio.uri(store)) && occursin(uri, e.message) && occursin(what, e.message)
        return e.status
    end
end

pairs_of(line) = Dict(split(word, '='; limit = 2) for word in split(line))

function run_cell(service, operation, rule, script)
    write(script, "service=$service $rule\n")
    faultd = open(`$(ENV["S3DLIO_TEST_FAULTD"]) --verify-signatures --script $script`, "r+")
    store = open_store(service, pairs_of(readline(faultd)))
    S3dlio.create_container(store)
    for (key, data) in ("small" => SMALL, "large" => LARGE, "list/a" => pattern(3, 5),
        "list/b" => pattern(4, 6), "list/c" => pattern(5, 7))
        S3dlio.put(store, key, data)
    end
    outcome = outcome_of(store, operation)
    close(store)
    close(faultd.in)
    met = pairs_of(readline(faultd))
    wait(faultd)
    met["FAULTS"] == "0" && return "no fault was met"
    met["UPLOADS"] == "0" || return "an upload was left behind"
    return outcome
end

counted("S3dlio.jl under faults") do
    table = joinpath(@__DIR__, "..", "faults", "cells.tsv")
    cells = [split(line, '\t') for line in eachline(table) if !isempty(line) && line[1] != '#']
    @test length(cells) == 46
    mktempdir() do folder
        for (service, operation, outcome, rule) in cells
            @testset "$service $operation $rule" begin
                @test run_cell(service, operation, rule, joinpath(folder, "script")) == outcome
            end
        end
    end
end
