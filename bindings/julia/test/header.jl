# A reader of include/s3dlio.h: its numbers, structs and functions, with C types as Julia types.
module Header

const BASE = Dict("int32_t" => :Int32, "uint32_t" => :UInt32, "int64_t" => :Int64, "uint64_t" => :UInt64,
    "uint8_t" => :UInt8, "uint16_t" => :UInt16, "size_t" => :UInt64, "double" => :Float64, "char" => :char, "void" => :Nothing,
    "function" => :Nothing)

struct Parsed
    numbers::Dict{String,Int128}
    structs::Dict{String,Vector{Pair{String,String}}}        # name => fields: name => type
    functions::Dict{String,Pair{String,Vector{String}}}      # name => result => argument types
end

# The Julia type (as text) for a C declaration such as `const char *const *keys`: name => type.
function declaration(text, callbacks)
    array = match(r"\[\s*(\w+)\s*\]\s*$", text)
    array === nothing || (text = text[1:array.offset-1])
    stars = count(==('*'), text)
    words = [m.match for m in eachmatch(r"\w+", text)]
    filter!(w -> !(w in ("const", "struct")), words)
    base, name = words[1], length(words) > 1 ? words[end] : ""
    if base in callbacks || base == "function"
        type, stars = "Ptr{Nothing}", stars
    else
        type = string(Base.get(BASE, base, Symbol(base)))
    end
    if type == "char"
        stars == 0 && (type = "UInt8")
        stars > 0 && (type = "Cstring"; stars -= 1)
    end
    for _ in 1:stars
        type = "Ptr{$type}"
    end
    array === nothing || (type = "NTuple{$(array[1]),$type}")
    return name => type
end

# `const char *a, *b` as one declaration each.
function declarators(text)
    parts = split(text, ',')
    first_words = match(r"^\s*((?:const\s+|struct\s+)*\w+(?:\s+const)?)", parts[1])[1]
    return [i == 1 ? parts[1] : first_words * " " * parts[i] for i in eachindex(parts)]
end

function parse_header(path)
    text = read(path, String)
    text = replace(text, r"/\*.*?\*/"s => " ")
    text = replace(text, r"//[^\n]*" => " ")
    text = replace(text, "\\\n" => " ")
    numbers = Dict{String,Int128}()
    for m in eachmatch(r"^[ \t]*#[ \t]*define[ \t]+(S3DLIO_\w+)[ \t]+\(?(-?(?:0x[0-9a-fA-F]+|\d+))[uUlL]*\)?[ \t]*$"m, text)
        numbers[m[1]] = parse(Int128, m[2])
    end
    for m in eachmatch(r"define\s+(S3DLIO_\w+)\s+\(?(UINT64_MAX|18446744073709551615)", text)
        numbers[m[1]] = typemax(UInt64)
    end
    text = replace(text, r"^[ \t]*#[^\n]*$"m => " ")
    text = replace(text, r"extern\s+\"C\"\s*\{" => " ")
    text = replace(text, r"\bS3DLIO_[A-Z_]+\b(?!\s*\])" => " ")       # attributes
    callbacks = Set{String}()
    for m in eachmatch(r"typedef\s[^;{}]*?\(\s*\*\s*(\w+)\s*\)\s*\([^()]*\)\s*;", text)
        push!(callbacks, m[1])
    end
    text = replace(text, r"typedef\s[^;{}]*?\(\s*\*\s*\w+\s*\)\s*\([^()]*\)\s*;" => " ")
    text = replace(text, r"\w+\s*\**\s*\(\s*\*\s*(\w+)\s*\)\s*\([^()]*\)" => s"function \1")
    structs = Dict{String,Vector{Pair{String,String}}}()
    for m in eachmatch(r"typedef\s+struct\s*(\w*)\s*\{([^{}]*)\}\s*(\w+)\s*;", text)
        fields = Pair{String,String}[]
        for statement in split(m[2], ';')
            isempty(strip(statement)) && continue
            append!(fields, [declaration(d, callbacks) for d in declarators(statement)])
        end
        structs[m[3]] = [n => resolve(t, numbers) for (n, t) in fields]
    end
    text = replace(text, r"typedef\s+struct\s*(\w*)\s*\{([^{}]*)\}\s*(\w+)\s*;" => " ")
    functions = Dict{String,Pair{String,Vector{String}}}()
    for m in eachmatch(r"([\w\s\*]+?)\b(s3dlio_\w+)\s*\(([^()]*)\)\s*;", text)
        result = declaration(m[1] * " _", callbacks).second
        given = strip(m[3])
        arguments = given in ("void", "") ? String[] :
            [declaration(a, callbacks).second for a in split(given, ',')]
        haskey(functions, m[2]) && error("the header declares $(m[2]) twice")
        functions[m[2]] = result => arguments
    end
    return Parsed(numbers, structs, functions)
end

# Replaces the name of a number by the number: NTuple{S3DLIO_X,UInt8}.
function resolve(type, numbers)
    m = match(r"^NTuple\{(S3DLIO_\w+),(.*)\}$", type)
    return m === nothing ? type : "NTuple{$(numbers[m[1]]),$(m[2])}"
end

end
