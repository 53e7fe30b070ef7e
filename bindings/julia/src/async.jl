# Calls that hold up only the task that makes them: one completion queue, and a task that waits for its
# descriptor while something is under way.

"An operation under way, and its event once that came."
mutable struct Operation
    done::Base.Event
    ended::Bool
    event::s3dlio_event
    Operation() = new(Base.Event(), false, zeroed(s3dlio_event))
end

mutable struct Queue
    handle::Ptr{s3dlio_queue}
    watcher::FDWatcher
    lock::ReentrantLock
    pending::Dict{UInt64,Operation}     # these and `watching` with `lock` held
    token::UInt64
    watching::Bool
end

function Queue()
    handle = checked((out, err) -> s3dlio_queue_new(out, err), Ptr{s3dlio_queue})
    fd = checked((out, err) -> s3dlio_queue_fd(handle, out, err), Int32)
    return Queue(handle, FDWatcher(RawFD(fd), true, false), ReentrantLock(), Dict(), 0, false)
end

const QUEUE = Ref{Queue}()
const QUEUE_LOCK = ReentrantLock()

# The process's queue; made at first use and never freed.
the_queue() = lock(QUEUE_LOCK) do
    isassigned(QUEUE) || (QUEUE[] = Queue())
    return QUEUE[]
end

# Submits an operation by `submit(queue, token, op, err)` and waits for its event, during which other
# tasks run. An exception that is thrown into the waiting task cancels the operation, and goes on once
# the library has let go of the memory. `convert(event)` makes the result and takes over what it needs.
function awaited(submit, convert)
    queue, operation = the_queue(), Operation()
    op = Ref{Ptr{s3dlio_op}}(C_NULL)
    lock(queue.lock) do
        token = queue.token += 1
        check(err -> submit(queue.handle, token, op, err))
        queue.pending[token] = operation     # the events are taken with the lock held
        if !queue.watching
            queue.watching = true
            @async watch(queue)
        end
    end
    thrown = nothing
    while !operation.ended
        try
            wait(operation.done)
        catch e
            thrown = e
            s3dlio_op_cancel(op[], C_NULL)
        end
    end
    s3dlio_op_free(op[])
    event = operation.event
    if thrown !== nothing || event.status < 0
        event.data == C_NULL || s3dlio_buffer_free(event.data)
        event.reader == C_NULL || s3dlio_reader_free(event.reader)
        event.batch == C_NULL || s3dlio_batch_free(event.batch)
        thrown === nothing && throw(take_error(event.status, event.error))
        event.error == C_NULL || s3dlio_error_free(event.error)
        throw(thrown)
    end
    return convert(event)
end

# Takes events until nothing is under way.
function watch(queue)
    event = Ref{s3dlio_event}(zeroed(s3dlio_event))
    while true
        wait(queue.watcher)
        lock(queue.lock) do
            while s3dlio_queue_next(queue.handle, 0, event, sizeof(s3dlio_event), C_NULL) == S3DLIO_OK
                operation = pop!(queue.pending, event[].token)
                operation.event = event[]
                operation.ended = true
                notify(operation.done)
            end
            queue.watching = !isempty(queue.pending)
        end || return
    end
end

took_nothing(::s3dlio_event) = nothing
took_bytes(event::s3dlio_event) = Int(event.bytes)
took_buffer(event::s3dlio_event) = Buffer(event.data)
function took(f, event::s3dlio_event)
    try
        return f()
    finally
        event.data == C_NULL || s3dlio_buffer_free(event.data)
    end
end

"""
    S3dlio.aget(store, key) -> Buffer

As [`S3dlio.get`](@ref), but only the calling task waits: others run on the same thread meanwhile.
"""
function aget(s::Store, key::AbstractString)
    key = ckey(key)
    return GC.@preserve s awaited(took_buffer) do queue, token, op, err
        s3dlio_store_get_submit(s, key, queue, token, op, err)
    end
end

"As `S3dlio.get_range`; only the calling task waits."
function aget_range(s::Store, key::AbstractString, offset::Integer, length::Union{Integer,Nothing} = nothing)
    key, from, count = ckey(key), coffset(offset), clength(length)
    return awaited(took_buffer) do queue, token, op, err
        s3dlio_store_get_range_submit(s, key, from, count, queue, token, op, err)
    end
end

"As `S3dlio.get_into!`; only the calling task waits."
function aget_into!(s::Store, key::AbstractString, array::AbstractArray)
    key = ckey(key)
    root, at, bytes = memory(array)
    return GC.@preserve root awaited(took_bytes) do queue, token, op, err
        s3dlio_store_get_into_submit(s, key, at, bytes, queue, token, op, err)
    end
end

"As `S3dlio.put` without its keywords; only the calling task waits."
function aput(s::Store, key::AbstractString, data::Data)
    key = ckey(key)
    root, at, bytes = memory(data)
    written(event) = took(() -> WriteStats(unsafe_load(event.written)), event)
    return GC.@preserve root awaited(written) do queue, token, op, err
        s3dlio_store_put_submit(s, key, at, bytes, C_NULL, 0, queue, token, op, err)
    end
end

"As `S3dlio.stat`; only the calling task waits."
function astat(s::Store, key::AbstractString)
    key = ckey(key)
    facts(event) = took(() -> ObjectInfo(unsafe_load(unsafe_load(event.infos))), event)
    return awaited(facts) do queue, token, op, err
        s3dlio_store_stat_submit(s, key, queue, token, op, err)
    end
end

"As `S3dlio.delete`; only the calling task waits."
function adelete(s::Store, key::AbstractString)
    key = ckey(key)
    return awaited(took_nothing) do queue, token, op, err
        s3dlio_store_delete_submit(s, key, queue, token, op, err)
    end
end

"As `S3dlio.read_at!`; only the calling task waits."
function aread_at!(r::Reader, offset::Integer, array::AbstractArray)
    from = coffset(offset)
    root, at, bytes = memory(array)
    return GC.@preserve root awaited(took_bytes) do queue, token, op, err
        s3dlio_reader_read_at_submit(r, from, at, bytes, queue, token, op, err)
    end
end

"""
    S3dlio.alist(store, prefix = ""; recursive = true) -> Vector{ObjectInfo}

All that [`S3dlio.list`](@ref) iterates over; only the calling task waits, page by page.
"""
function alist(s::Store, prefix::AbstractString = ""; recursive::Bool = true)
    prefix = ckey(prefix)
    lister = Lister(checked(Ptr{s3dlio_lister}) do out, err
        s3dlio_store_list(s, prefix, recursive, out, err)
    end)
    page(event) = took(event) do
        ObjectInfo[ObjectInfo(unsafe_load(unsafe_load(event.infos, i))) for i in 1:event.info_count]
    end
    entries = ObjectInfo[]
    while true
        found = GC.@preserve lister awaited(page) do queue, token, op, err
            s3dlio_lister_page_submit(lister, queue, token, op, err)
        end
        isempty(found) && return (free(lister); entries)
        append!(entries, found)
    end
end

"As [`Reader`](@ref)`(store, key, settings...)`; only the calling task waits."
function areader(s::Store, key::AbstractString, settings...; keywords...)
    key = ckey(key)
    options = options_of(settings, keywords)
    return awaited(event -> Reader(event.reader)) do queue, token, op, err
        s3dlio_reader_open_submit(s, key, options, queue, token, op, err)
    end
end

"""
    S3dlio.awrite(writer, data) -> bytes

As `write`; only the calling task waits. After an exception that was thrown into that task the writer can
only be aborted.
"""
function awrite(w::Writer, data::Data)
    withdraw(w)
    root, at, bytes = memory(data)
    return GC.@preserve w root awaited(event -> bytes) do queue, token, op, err
        s3dlio_writer_write_submit(w, at, bytes, queue, token, op, err)
    end
end

"As [`S3dlio.finish`](@ref); only the calling task waits."
function afinish(w::Writer)
    withdraw(w)
    written(event) = took(() -> WriteStats(unsafe_load(event.written)), event)
    return GC.@preserve w awaited(written) do queue, token, op, err
        s3dlio_writer_finish_submit(w, queue, token, op, err)
    end
end

"As [`S3dlio.abort`](@ref); only the calling task waits."
function aabort(w::Writer)
    isopen(w) || return nothing
    withdraw(w)
    try
        GC.@preserve w awaited(took_nothing) do queue, token, op, err
            s3dlio_writer_abort_submit(w, queue, token, op, err)
        end
        w.last = get_stats(w)
    finally
        free(w)
    end
    return nothing
end
