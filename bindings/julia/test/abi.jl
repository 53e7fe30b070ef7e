# SPEC A1, A3: the tables of this package equal include/s3dlio.h. Needs no library.
module ABI

using Test
include("header.jl")
module Tables
    include("../src/ctypes.jl")
    include("../src/signatures.jl")
end
module Statuses
    include("../src/ctypes.jl")
    const text = identity
    include("../src/errors.jl")
end

const HEADER = get(ENV, "S3DLIO_HEADER", normpath(joinpath(@__DIR__, "..", "..", "..", "include", "s3dlio.h")))

# A type's name without modules, and Cvoid by its own name.
plain(type) = replace(string(type), r"[A-Za-z0-9_.]*Tables\." => "")

# Where C puts each field: offsets and the size, by natural alignment.
function layout(fields, structs)
    offset, widest, offsets = 0, 1, Int[]
    for (_, type) in fields
        m = match(r"^NTuple\{(\d+),(\w+)\}$", type)
        element = m === nothing ? type : m[2]
        size = startswith(element, "Ptr") || element == "Cstring" ? 8 :
            sizeof(getfield(Base, Symbol(element)))
        align = size
        m === nothing || (size *= parse(Int, m[1]))
        offset = cld(offset, align) * align
        push!(offsets, offset)
        offset += size
        widest = max(widest, align)
    end
    return offsets, cld(offset, widest) * widest
end

# What differs between the header and the tables, one line each.
function differences(parsed)
    found = String[]
    ours = Dict(string(s.name) => s for s in Tables.SIGNATURES)
    for (name, (result, arguments)) in parsed.functions
        if !haskey(ours, name)
            push!(found, "function $name is in the header only")
            continue
        end
        have = (plain(ours[name].result), plain.(ours[name].arguments))
        have == (result, arguments) || push!(found, "$name: header $((result, arguments)), table $have")
    end
    for name in keys(ours)
        haskey(parsed.functions, name) || push!(found, "function $name is in the table only")
    end
    for (name, fields) in parsed.structs
        if !isdefined(Tables, Symbol(name))
            push!(found, "struct $name is in the header only")
            continue
        end
        type = getfield(Tables, Symbol(name))
        have = [string(n) => plain(t) for (n, t) in zip(fieldnames(type), fieldtypes(type))]
        have == fields || push!(found, "struct $name: header $fields, table $have")
        offsets, size = layout(fields, parsed.structs)
        (offsets, size) == ([fieldoffset(type, i) for i in 1:fieldcount(type)], sizeof(type)) ||
            push!(found, "struct $name: another layout")
    end
    for name in names(Tables; all = true)
        value = getfield(Tables, name)
        if value isa DataType && startswith(string(name), "s3dlio_") && fieldcount(value) > 0
            haskey(parsed.structs, string(name)) || push!(found, "struct $name is in the table only")
        end
    end
    for (name, number) in parsed.numbers
        if startswith(name, "S3DLIO_ERR_")
            have = Base.get(Statuses.STATUS_NUMBERS, Symbol(name[12:end]), nothing)
            have == number || push!(found, "$name: header $number, table $have")
        elseif isdefined(Tables, Symbol(name))
            have = getfield(Tables, Symbol(name))
            have == number || push!(found, "$name: header $number, table $have")
        end
    end
    for name in keys(Statuses.STATUS_NUMBERS)
        haskey(parsed.numbers, "S3DLIO_ERR_$name") || push!(found, "S3DLIO_ERR_$name is in the table only")
    end
    for name in names(Tables; all = true)
        startswith(string(name), "S3DLIO_") || continue
        haskey(parsed.numbers, string(name)) || push!(found, "$name is in the table only")
    end
    return sort!(found)
end

@testset "A3 the ABI tables equal the header" begin
    parsed = Header.parse_header(HEADER)
    @test length(parsed.functions) >= 70
    @test length(parsed.structs) >= 10
    @test differences(parsed) == String[]
    version = match(r"^version = \"(.*)\"$"m, read(joinpath(@__DIR__, "..", "Project.toml"), String))[1]
    @test occursin("#define S3DLIO_VERSION_STRING \"$version\"", read(HEADER, String))

    # the comparison can fail: planted differences are found
    text = read(HEADER, String)
    planted(from, to) = mktempdir() do folder
        path = joinpath(folder, "s3dlio.h")
        changed = replace(text, from => to; count = 1)
        @test changed != text
        write(path, changed)
        differences(Header.parse_header(path))
    end
    @test !isempty(planted(r"s3dlio_crc32c\s*\(uint32_t", "s3dlio_crc32c(uint64_t"))
    @test !isempty(planted(r"uint64_t bytes\s*;", "uint32_t bytes;"))
    @test !isempty(planted(r"s3dlio_store_rename\s*\(", "s3dlio_store_move("))
    @test !isempty(planted(r"S3DLIO_ERR_INVALID_ARGUMENT\s+\(?-1\b", "S3DLIO_ERR_INVALID_ARGUMENT -99"))
end

end
