"""
    Options("s3.endpoint" => "http://127.0.0.1:8333", ...; transfer_part_size = "8MiB", ...)
    Options(dict)

Settings for a store, a reader or a writer. Keys are dotted (`S3dlio.option_table()` lists them);
as keywords the first underscore stands for the dot. Everything that takes options takes pairs, a
`Dict`, another `Options` and keywords in the same way. Values are text, numbers or `true`/`false`.

An `Options` may be the first of the settings only; the others go on top of a copy.

`options[key]` gives the value in force as text (explicit, else environment, else default; secrets
are masked), `options[key] = value` sets it. One task at a time.
"""
mutable struct Options
    handle::Ptr{s3dlio_options}
    Options(handle::Ptr{s3dlio_options}) = finalizer(free, new(handle))
end

function free(o::Options)
    handle = o.handle
    o.handle = C_NULL
    handle == C_NULL || s3dlio_options_free(handle)
    return nothing
end

Options(settings...; keywords...) =
    set_all!(Options(checked(s3dlio_options_new, Ptr{s3dlio_options})), settings, keywords)

Options(first::Options, settings...; keywords...) = set_all!(Base.copy(first), settings, keywords)

Base.unsafe_convert(::Type{Ptr{s3dlio_options}}, o::Options) = o.handle
Base.cconvert(::Type{Ptr{s3dlio_options}}, ::Nothing) = Ptr{s3dlio_options}(C_NULL)

Base.copy(o::Options) = Options(checked(Ptr{s3dlio_options}) do out, err
    s3dlio_options_clone(o, out, err)
end)

function Base.setindex!(o::Options, value, key::AbstractString)
    key = ctext(key, ERR_UNKNOWN_OPTION, "the option's name")
    shown = value isa AbstractString ? value : string(value)
    # the value may be a secret: it is not shown
    '\0' in shown && throw(S3dlioException(ERR_INVALID_OPTION, "the value of $key contains a NUL byte"))
    check(err -> s3dlio_options_set(o, key, String(shown), err))
    return o
end

function Base.getindex(o::Options, key::AbstractString)
    key = ctext(key, ERR_UNKNOWN_OPTION, "the option's name")
    return take_text(checked((out, err) -> s3dlio_options_get(o, key, out, err), Ptr{s3dlio_buffer}))
end

Base.show(io::IO, ::Options) = print(io, "S3dlio.Options(...)")

function set_all!(o::Options, settings, keywords)
    for setting in settings
        set_one!(o, setting)
    end
    for (key, value) in keywords
        o[replace(String(key), '_' => '.'; count = 1)] = value
    end
    return o
end

set_one!(o::Options, pair::Pair) = (o[string(pair.first)] = pair.second)
set_one!(::Options, ::Options) = throw(S3dlioException(ERR_INVALID_ARGUMENT,
    "an Options is not the first of the settings; pass it first, or pass pairs"))
set_one!(o::Options, pairs::AbstractDict) = foreach(pair -> set_one!(o, pair), pairs)

# The options of a call; nothing (NULL) where nothing is given.
function options_of(settings, keywords)
    isempty(keywords) && isempty(settings) && return nothing
    isempty(keywords) && settings isa Tuple{Options} && return settings[1]
    return Options(settings...; keywords...)
end

"Every option: a vector of named tuples `key, type, default, bounds, env, doc`."
function option_table()
    map(1:s3dlio_option_count()) do index
        row = checked(s3dlio_option_info) do out, err
            s3dlio_option_at(index - 1, out, sizeof(s3dlio_option_info), err)
        end
        (key = text(row.key), type = text(row.type), default = text(row.default_value),
            bounds = text(row.bounds), env = String.(split(text(row.env))), doc = text(row.doc))
    end
end
