# Statuses and exceptions.

const STATUS_NUMBERS = (
    INVALID_ARGUMENT = -1, BAD_HANDLE = -2, INTERNAL = -3, POISONED = -4, INVALID_STATE = -5,
    FORKED = -6, SHUTDOWN = -7, WOULD_DEADLOCK = -8, UNSUPPORTED = -9, CANCELLED = -10,
    INVALID_URI = -11, INVALID_KEY = -12, UNKNOWN_OPTION = -13, INVALID_OPTION = -14,
    NOT_FOUND = -20, CONTAINER_NOT_FOUND = -21, ALREADY_EXISTS = -22, PRECONDITION_FAILED = -23,
    CHANGED = -24, NOT_EMPTY = -25, RANGE = -26, BUFFER_TOO_SMALL = -27,
    PERMISSION_DENIED = -30, UNAUTHENTICATED = -31,
    DNS = -40, CONNECTION = -41, TLS = -42, TIMEOUT = -43, UNAVAILABLE = -44, SERVER = -45,
    PROTOCOL = -46, UNKNOWN_OUTCOME = -47,
    IO = -50, NO_SPACE = -51, OUT_OF_MEMORY = -52,
    CHECKSUM_MISMATCH = -60, TRUNCATED = -61, CORRUPT = -62,
)

# S3dlio.ERR_NOT_FOUND and so on: the numbers of the header's S3DLIO_ERR_NOT_FOUND.
for (name, number) in pairs(STATUS_NUMBERS)
    @eval const $(Symbol(:ERR_, name)) = $(Int32(number))
end

"""
A failure with everything that is known about it.

- `code`: the number of the C status, one of `S3dlio.ERR_NOT_FOUND`, `S3dlio.ERR_RANGE` ...
- `status`: its name, such as `"not_found"`
- `message`: what was done to what, what went wrong, and its causes
- `retryable`: whether the same call may succeed later
- `http_status`, `errno`: of the server and the operating system, or `nothing`
- `details`: `operation`, `uri`, `request_id`, `attempts`, `elapsed_ms`, `hint` and more, as known
"""
struct S3dlioException <: Exception
    code::Int32
    status::String
    message::String
    retryable::Bool
    http_status::Union{Int,Nothing}
    errno::Union{Int,Nothing}
    details::Dict{String,String}
end

"A failure that was found on this side of the C ABI."
function S3dlioException(code::Integer, message::AbstractString; details...)
    facts = Dict{String,String}(string(k) => string(v) for (k, v) in details)
    return S3dlioException(code, status_name(code), message, false, nothing, nothing, facts)
end

function Base.showerror(io::IO, e::S3dlioException)
    print(io, "S3dlioException(", e.status, ", ", e.code, "): ", e.message)
    for key in sort!(collect(keys(e.details)))
        occursin(e.details[key], e.message) || print(io, "\n  ", key, ": ", e.details[key])
    end
end

Base.show(io::IO, e::S3dlioException) = showerror(io, e)

# Takes an error object over: copies what it says and frees it.
function take_error(status::Integer, error::Ptr{s3dlio_error})
    error == C_NULL && return S3dlioException(status, status_doc(status))
    try
        details = Dict{String,String}()
        key, value = Ref{Cstring}(C_NULL), Ref{Cstring}(C_NULL)
        for index in 1:s3dlio_error_detail_count(error)
            s3dlio_error_detail_at(error, index - 1, key, value) == S3DLIO_OK || continue
            details[text(key[])] = text(value[])
        end
        positive(n) = n > 0 ? Int(n) : nothing
        return S3dlioException(s3dlio_error_code(error), status_name(status),
            text(s3dlio_error_message(error)), s3dlio_error_retryable(error) != 0,
            positive(s3dlio_error_http_status(error)), positive(s3dlio_error_os_errno(error)), details)
    finally
        s3dlio_error_free(error)
    end
end

"Calls `f(err)` with a fresh error out-parameter; gives the status, or throws if it is negative."
function check(f)
    err = Ref{Ptr{s3dlio_error}}(C_NULL)
    status = f(err)
    status < 0 && throw(take_error(status, err[]))
    return status
end

"As [`check`](@ref), for functions that give one value through a pointer to `T`."
function checked(f, ::Type{T}) where {T}
    out = Ref{T}(zero_of(T))
    check(err -> f(out, err))
    return out[]
end

zero_of(::Type{T}) where {T<:Ptr} = T(C_NULL)
zero_of(::Type{T}) where {T<:Number} = zero(T)
zero_of(::Type{T}) where {T} = zeroed(T)

"The name of a status, such as `not_found`."
status_name(status::Integer) = text(s3dlio_status_name(status))

"One line that says what a status means."
status_doc(status::Integer) = text(s3dlio_status_doc(status))

# C text to Julia and back.
text(c::Cstring) = unsafe_string(Ptr{UInt8}(c))
maybe_text(c::Cstring) = Ptr{UInt8}(c) == C_NULL ? nothing : text(c)

# Text for C. A NUL inside would cut it short there, so it is refused here with the same code.
function ctext(s::AbstractString, code, what)
    s = String(s)
    '\0' in s && throw(S3dlioException(code, "$what contains a NUL byte: $(repr(s))"))
    return s
end
ckey(s) = ctext(s, ERR_INVALID_KEY, "the key")
curi(s) = ctext(s, ERR_INVALID_URI, "the URI")

# Whole numbers for C's unsigned types.
function cunsigned(n::Integer, what)
    0 <= n <= typemax(UInt64) ||
        throw(S3dlioException(ERR_INVALID_ARGUMENT, "$what is $n; expected 0 or more, below 2^64"))
    return UInt64(n)
end
clength(n) = n === nothing ? S3DLIO_TO_END : cunsigned(n, "the length")
coffset(n) = cunsigned(n, "the offset")
