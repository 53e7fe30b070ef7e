# Finding and loading the C library. It happens when the package is loaded, not when it is
# precompiled, so one installation of the package serves any library.

"Where the library in use was loaded from."
const LIBRARY_PATH = Ref("")

library_name() = Sys.isapple() ? "libs3dlio.0.dylib" : "libs3dlio.so.0"

# The library beside this package: PREFIX/lib for a package somewhere below PREFIX.
function installed_libraries()
    found = String[]
    folder = @__DIR__
    for _ in 1:7
        folder = dirname(folder)
        for lib in ("lib", "lib64", joinpath("lib", string(Sys.ARCH, "-linux-gnu")))
            path = joinpath(folder, lib, library_name())
            isfile(path) && push!(found, path)
        end
    end
    return found
end

# `S3DLIO_LIBRARY` decides alone when it is set; otherwise the system's library, then the prefix's.
function open_library()
    chosen = Base.get(ENV, "S3DLIO_LIBRARY", "")
    candidates = isempty(chosen) ? [library_name(); installed_libraries()] : [chosen]
    failures = String[]
    for path in candidates
        try
            return Libdl.dlopen(path)
        catch e
            push!(failures, "  $path: $(sprint(showerror, e))")
        end
    end
    error("""S3dlio cannot load the C library libs3dlio. Tried:
        $(join(failures, "\n"))
        Install libs3dlio, or set S3DLIO_LIBRARY to the path of $(library_name()).""")
end

function load_library()
    handle = open_library()
    path = Libdl.dlpath(handle)
    version = Libdl.dlsym_e(handle, :s3dlio_abi_version)
    version == C_NULL && error("$path is not libs3dlio: it has no function s3dlio_abi_version")
    have = ccall(version, UInt32, ())
    major, minor = Int(have >> 16), Int(have & 0xffff)
    if major != S3DLIO_ABI_VERSION >> 16 || minor < S3DLIO_ABI_VERSION & 0xffff
        wanted = string(S3DLIO_ABI_VERSION >> 16, '.', S3DLIO_ABI_VERSION & 0xffff)
        error("""$path has ABI version $major.$minor, but this S3dlio.jl was written for $wanted.
            Install the S3dlio.jl that came with the library, or set S3DLIO_LIBRARY to the path of a
            library that fits.""")
    end
    for signature in SIGNATURES
        pointer = Libdl.dlsym_e(handle, signature.name)
        pointer == C_NULL && error("$path lacks the function $(signature.name)")
        signature.pointer[] = pointer
    end
    LIBRARY_PATH[] = path
    return nothing
end
