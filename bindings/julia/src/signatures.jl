# Every C function, once: its name, result and arguments. Each line becomes a Julia function of the
# same name and a row of SIGNATURES, which `test/abi.jl` compares with include/s3dlio.h.

struct Signature
    name::Symbol
    result::DataType
    arguments::Vector{DataType}
    pointer::Base.RefValue{Ptr{Cvoid}}   # filled by load_library
end

const SIGNATURES = Signature[]

const ErrorOut = Ptr{Ptr{s3dlio_error}}

"Defines quick functions: they neither wait nor do I/O."
macro quick(block)
    define(block, false)
end

"""
Defines functions that may wait. During the call the thread counts as being outside Julia
(`jl_gc_safe_enter`), so a garbage collection elsewhere need not wait for the network. That is safe
because every argument is converted before and the library never calls back into Julia.
"""
macro blocking(block)
    define(block, true)
end

function define(block, waits)
    out = Expr(:block)
    for line in block.args
        line isa Expr || continue
        call, result = line.args
        name = call.args[1]
        arguments = call.args[2:end]
        types = [a.args[2] for a in arguments]
        pointer = Symbol(name, "_pointer")
        given = [gensym(a.args[1]) for a in arguments]
        roots = [gensym(:root) for _ in arguments]
        ready = [gensym(:ready) for _ in arguments]
        body = Expr(:block)
        for (g, r, t) in zip(given, roots, types)
            push!(body.args, :($r = Base.cconvert($t, $g)))
        end
        inner = Expr(:block)
        for (c, r, t) in zip(ready, roots, types)
            push!(inner.args, :($c = Base.unsafe_convert($t, $r)::$t))
        end
        the_call = :(ccall(f, $result, ($(types...),), $(ready...)))
        push!(inner.args, :(f = $pointer[]))
        if waits
            push!(inner.args, :(state = ccall(:jl_gc_safe_enter, Int8, ())))
            push!(inner.args, :(value = $the_call))
            push!(inner.args, :(ccall(:jl_gc_safe_leave, Cvoid, (Int8,), state)))
            push!(inner.args, :value)
        else
            push!(inner.args, the_call)
        end
        push!(body.args, isempty(roots) ? inner : :(GC.@preserve $(roots...) $inner))
        push!(out.args, :(const $pointer = Ref{Ptr{Cvoid}}(C_NULL)))
        push!(out.args, :(push!(SIGNATURES,
            Signature($(QuoteNode(name)), $result, DataType[$(types...)], $pointer))))
        push!(out.args, :(function $name($(given...))
            $body
        end))
    end
    esc(out)
end

@quick begin
    s3dlio_abi_version()::UInt32
    s3dlio_version()::Cstring
    s3dlio_has_feature(name::Cstring)::Int32
    s3dlio_status_name(status::Int32)::Cstring
    s3dlio_status_doc(status::Int32)::Cstring
    s3dlio_log_to_fd(fd::Int32, level::Cstring, err::ErrorOut)::Int32
    s3dlio_log_set_callback(callback::Ptr{Cvoid}, user::Ptr{Cvoid}, level::Cstring, err::ErrorOut)::Int32
    s3dlio_stats_json(json::Ptr{Ptr{s3dlio_buffer}}, err::ErrorOut)::Int32
    s3dlio_stats_prometheus(text::Ptr{Ptr{s3dlio_buffer}}, err::ErrorOut)::Int32
    s3dlio_crc32c_combine(first::UInt32, second::UInt32, second_length::UInt64)::UInt32
    s3dlio_get_stats(stats::Ptr{s3dlio_stats}, stats_size::Csize_t, err::ErrorOut)::Int32

    s3dlio_error_code(error::Ptr{s3dlio_error})::Int32
    s3dlio_error_message(error::Ptr{s3dlio_error})::Cstring
    s3dlio_error_retryable(error::Ptr{s3dlio_error})::Int32
    s3dlio_error_http_status(error::Ptr{s3dlio_error})::Int32
    s3dlio_error_os_errno(error::Ptr{s3dlio_error})::Int32
    s3dlio_error_detail_count(error::Ptr{s3dlio_error})::Csize_t
    s3dlio_error_detail_at(error::Ptr{s3dlio_error}, index::Csize_t, key::Ptr{Cstring}, value::Ptr{Cstring})::Int32
    s3dlio_error_detail(error::Ptr{s3dlio_error}, key::Cstring)::Cstring
    s3dlio_error_free(error::Ptr{s3dlio_error})::Cvoid

    s3dlio_options_new(options::Ptr{Ptr{s3dlio_options}}, err::ErrorOut)::Int32
    s3dlio_options_set(options::Ptr{s3dlio_options}, key::Cstring, value::Cstring, err::ErrorOut)::Int32
    s3dlio_options_set_u64(options::Ptr{s3dlio_options}, key::Cstring, value::UInt64, err::ErrorOut)::Int32
    s3dlio_options_get(options::Ptr{s3dlio_options}, key::Cstring, value::Ptr{Ptr{s3dlio_buffer}}, err::ErrorOut)::Int32
    s3dlio_options_clone(options::Ptr{s3dlio_options}, clone::Ptr{Ptr{s3dlio_options}}, err::ErrorOut)::Int32
    s3dlio_options_free(options::Ptr{s3dlio_options})::Cvoid
    s3dlio_option_count()::Csize_t
    s3dlio_option_at(index::Csize_t, info::Ptr{s3dlio_option_info}, info_size::Csize_t, err::ErrorOut)::Int32

    s3dlio_buffer_data(buffer::Ptr{s3dlio_buffer})::Ptr{Cvoid}
    s3dlio_buffer_size(buffer::Ptr{s3dlio_buffer})::Csize_t
    s3dlio_buffer_clone(buffer::Ptr{s3dlio_buffer}, clone::Ptr{Ptr{s3dlio_buffer}}, err::ErrorOut)::Int32
    s3dlio_buffer_free(buffer::Ptr{s3dlio_buffer})::Cvoid

    s3dlio_store_uri(store::Ptr{s3dlio_store})::Cstring
    s3dlio_store_capabilities(store::Ptr{s3dlio_store}, caps::Ptr{s3dlio_capabilities}, caps_size::Csize_t, err::ErrorOut)::Int32
    s3dlio_store_free(store::Ptr{s3dlio_store})::Cvoid
    s3dlio_lister_free(lister::Ptr{s3dlio_lister})::Cvoid
    s3dlio_reader_expect_crc32c(reader::Ptr{s3dlio_reader}, crc32c::UInt32, err::ErrorOut)::Int32
    s3dlio_reader_free(reader::Ptr{s3dlio_reader})::Cvoid
    s3dlio_writer_key(writer::Ptr{s3dlio_writer})::Cstring
    s3dlio_writer_get_stats(writer::Ptr{s3dlio_writer}, stats::Ptr{s3dlio_write_stats}, stats_size::Csize_t, err::ErrorOut)::Int32
    s3dlio_writer_free(writer::Ptr{s3dlio_writer})::Cvoid

    # None of these waits: s3dlio_queue_next is called with timeout 0.
    s3dlio_queue_new(queue::Ptr{Ptr{s3dlio_queue}}, err::ErrorOut)::Int32
    s3dlio_queue_fd(queue::Ptr{s3dlio_queue}, fd::Ptr{Int32}, err::ErrorOut)::Int32
    s3dlio_queue_next(queue::Ptr{s3dlio_queue}, timeout_ms::Int64, event::Ptr{s3dlio_event}, event_size::Csize_t, err::ErrorOut)::Int32
    s3dlio_queue_close(queue::Ptr{s3dlio_queue}, cancel::Int32, err::ErrorOut)::Int32
    s3dlio_queue_free(queue::Ptr{s3dlio_queue})::Cvoid
    s3dlio_op_cancel(op::Ptr{s3dlio_op}, err::ErrorOut)::Int32
    s3dlio_op_progress(op::Ptr{s3dlio_op}, done::Ptr{UInt64}, total::Ptr{UInt64}, err::ErrorOut)::Int32
    s3dlio_op_free(op::Ptr{s3dlio_op})::Cvoid
    s3dlio_store_get_submit(store::Ptr{s3dlio_store}, key::Cstring, queue::Ptr{s3dlio_queue}, token::UInt64, op::Ptr{Ptr{s3dlio_op}}, err::ErrorOut)::Int32
    s3dlio_store_get_range_submit(store::Ptr{s3dlio_store}, key::Cstring, offset::UInt64, length::UInt64, queue::Ptr{s3dlio_queue}, token::UInt64, op::Ptr{Ptr{s3dlio_op}}, err::ErrorOut)::Int32
    s3dlio_store_get_into_submit(store::Ptr{s3dlio_store}, key::Cstring, dst::Ptr{Cvoid}, capacity::Csize_t, queue::Ptr{s3dlio_queue}, token::UInt64, op::Ptr{Ptr{s3dlio_op}}, err::ErrorOut)::Int32
    s3dlio_store_get_range_into_submit(store::Ptr{s3dlio_store}, key::Cstring, offset::UInt64, dst::Ptr{Cvoid}, length::Csize_t, queue::Ptr{s3dlio_queue}, token::UInt64, op::Ptr{Ptr{s3dlio_op}}, err::ErrorOut)::Int32
    s3dlio_store_put_submit(store::Ptr{s3dlio_store}, key::Cstring, data::Ptr{Cvoid}, length::Csize_t, options::Ptr{s3dlio_put_options}, options_size::Csize_t, queue::Ptr{s3dlio_queue}, token::UInt64, op::Ptr{Ptr{s3dlio_op}}, err::ErrorOut)::Int32
    s3dlio_store_stat_submit(store::Ptr{s3dlio_store}, key::Cstring, queue::Ptr{s3dlio_queue}, token::UInt64, op::Ptr{Ptr{s3dlio_op}}, err::ErrorOut)::Int32
    s3dlio_store_delete_submit(store::Ptr{s3dlio_store}, key::Cstring, queue::Ptr{s3dlio_queue}, token::UInt64, op::Ptr{Ptr{s3dlio_op}}, err::ErrorOut)::Int32
    s3dlio_lister_page_submit(lister::Ptr{s3dlio_lister}, queue::Ptr{s3dlio_queue}, token::UInt64, op::Ptr{Ptr{s3dlio_op}}, err::ErrorOut)::Int32
    s3dlio_reader_open_submit(store::Ptr{s3dlio_store}, key::Cstring, options::Ptr{s3dlio_options}, queue::Ptr{s3dlio_queue}, token::UInt64, op::Ptr{Ptr{s3dlio_op}}, err::ErrorOut)::Int32
    s3dlio_reader_read_at_submit(reader::Ptr{s3dlio_reader}, offset::UInt64, dst::Ptr{Cvoid}, length::Csize_t, queue::Ptr{s3dlio_queue}, token::UInt64, op::Ptr{Ptr{s3dlio_op}}, err::ErrorOut)::Int32
    s3dlio_reader_read_submit(reader::Ptr{s3dlio_reader}, dst::Ptr{Cvoid}, length::Csize_t, queue::Ptr{s3dlio_queue}, token::UInt64, op::Ptr{Ptr{s3dlio_op}}, err::ErrorOut)::Int32
    s3dlio_writer_write_submit(writer::Ptr{s3dlio_writer}, data::Ptr{Cvoid}, length::Csize_t, queue::Ptr{s3dlio_queue}, token::UInt64, op::Ptr{Ptr{s3dlio_op}}, err::ErrorOut)::Int32
    s3dlio_writer_finish_submit(writer::Ptr{s3dlio_writer}, queue::Ptr{s3dlio_queue}, token::UInt64, op::Ptr{Ptr{s3dlio_op}}, err::ErrorOut)::Int32
    s3dlio_writer_abort_submit(writer::Ptr{s3dlio_writer}, queue::Ptr{s3dlio_queue}, token::UInt64, op::Ptr{Ptr{s3dlio_op}}, err::ErrorOut)::Int32

    s3dlio_dataset_length(dataset::Ptr{s3dlio_dataset}, length::Ptr{UInt64}, err::ErrorOut)::Int32
    s3dlio_dataset_free(dataset::Ptr{s3dlio_dataset})::Cvoid
    s3dlio_batch_count(batch::Ptr{s3dlio_batch})::Csize_t
    s3dlio_batch_samples(batch::Ptr{s3dlio_batch})::Ptr{s3dlio_sample}
    s3dlio_batch_free(batch::Ptr{s3dlio_batch})::Cvoid
    s3dlio_loader_next_submit(loader::Ptr{s3dlio_loader}, queue::Ptr{s3dlio_queue}, token::UInt64, op::Ptr{Ptr{s3dlio_op}}, err::ErrorOut)::Int32
    s3dlio_loader_state(loader::Ptr{s3dlio_loader}, json::Ptr{Ptr{s3dlio_buffer}}, err::ErrorOut)::Int32
    s3dlio_loader_merge_states(states::Ptr{Cstring}, count::Csize_t, json::Ptr{Ptr{s3dlio_buffer}}, err::ErrorOut)::Int32
    s3dlio_loader_get_stats(loader::Ptr{s3dlio_loader}, stats::Ptr{s3dlio_loader_stats}, stats_size::Csize_t, err::ErrorOut)::Int32

    s3dlio_world_detect(world::Ptr{s3dlio_world}, struct_size::Csize_t, err::ErrorOut)::Int32
    s3dlio_checkpoint_writer_id(writer::Ptr{s3dlio_checkpoint_writer})::Cstring
    s3dlio_checkpoint_writer_free(writer::Ptr{s3dlio_checkpoint_writer})::Cvoid
    s3dlio_checkpoint_shard_free(shard::Ptr{s3dlio_checkpoint_shard})::Cvoid
    s3dlio_checkpoint_get_info(checkpoint::Ptr{s3dlio_checkpoint}, info::Ptr{s3dlio_checkpoint_info}, info_size::Csize_t, err::ErrorOut)::Int32
    s3dlio_checkpoint_metadata(checkpoint::Ptr{s3dlio_checkpoint}, index::Csize_t, name::Ptr{Cstring}, value::Ptr{Cstring}, err::ErrorOut)::Int32
    s3dlio_checkpoint_entry(checkpoint::Ptr{s3dlio_checkpoint}, index::Csize_t, info::Ptr{s3dlio_entry_info}, info_size::Csize_t, err::ErrorOut)::Int32
    s3dlio_checkpoint_find(checkpoint::Ptr{s3dlio_checkpoint}, name::Cstring, index::Ptr{Csize_t}, err::ErrorOut)::Int32
    s3dlio_checkpoint_shard_info(checkpoint::Ptr{s3dlio_checkpoint}, index::Csize_t, info::Ptr{s3dlio_shard_info}, info_size::Csize_t, err::ErrorOut)::Int32
    s3dlio_checkpoint_free(checkpoint::Ptr{s3dlio_checkpoint})::Cvoid
    s3dlio_checkpoint_writer_finish_submit(writer::Ptr{s3dlio_checkpoint_writer}, queue::Ptr{s3dlio_queue}, token::UInt64, op::Ptr{Ptr{s3dlio_op}}, err::ErrorOut)::Int32
    s3dlio_checkpoint_writer_commit_submit(writer::Ptr{s3dlio_checkpoint_writer}, queue::Ptr{s3dlio_queue}, token::UInt64, op::Ptr{Ptr{s3dlio_op}}, err::ErrorOut)::Int32
    s3dlio_checkpoint_load_submit(checkpoint::Ptr{s3dlio_checkpoint}, requests::Ptr{s3dlio_tensor_request}, count::Csize_t, queue::Ptr{s3dlio_queue}, token::UInt64, op::Ptr{Ptr{s3dlio_op}}, err::ErrorOut)::Int32
end

@blocking begin
    s3dlio_shutdown(timeout_ms::UInt64, err::ErrorOut)::Int32
    s3dlio_oplog_start(path::Cstring, options::Ptr{s3dlio_options}, err::ErrorOut)::Int32
    s3dlio_oplog_stop(rows::Ptr{UInt64}, dropped::Ptr{UInt64}, err::ErrorOut)::Int32
    s3dlio_profile_start(hz::UInt32, err::ErrorOut)::Int32
    s3dlio_profile_stop(path::Cstring, err::ErrorOut)::Int32
    s3dlio_crc32c(crc::UInt32, data::Ptr{Cvoid}, length::Csize_t)::UInt32
    s3dlio_buffer_new(size::Csize_t, buffer::Ptr{Ptr{s3dlio_buffer}}, err::ErrorOut)::Int32

    s3dlio_store_open(uri::Cstring, options::Ptr{s3dlio_options}, store::Ptr{Ptr{s3dlio_store}}, err::ErrorOut)::Int32
    s3dlio_store_get(store::Ptr{s3dlio_store}, key::Cstring, data::Ptr{Ptr{s3dlio_buffer}}, err::ErrorOut)::Int32
    s3dlio_store_get_range(store::Ptr{s3dlio_store}, key::Cstring, offset::UInt64, length::UInt64, data::Ptr{Ptr{s3dlio_buffer}}, err::ErrorOut)::Int32
    s3dlio_store_get_into(store::Ptr{s3dlio_store}, key::Cstring, dst::Ptr{Cvoid}, capacity::Csize_t, bytes_read::Ptr{Csize_t}, err::ErrorOut)::Int32
    s3dlio_store_get_range_into(store::Ptr{s3dlio_store}, key::Cstring, offset::UInt64, dst::Ptr{Cvoid}, length::Csize_t, bytes_read::Ptr{Csize_t}, err::ErrorOut)::Int32
    s3dlio_store_get_ranges(store::Ptr{s3dlio_store}, key::Cstring, ranges::Ptr{s3dlio_range}, count::Csize_t, err::ErrorOut)::Int32
    s3dlio_store_get_many(store::Ptr{s3dlio_store}, keys::Ptr{Cstring}, count::Csize_t, results::Ptr{s3dlio_get_result}, err::ErrorOut)::Int32
    s3dlio_store_put_many(store::Ptr{s3dlio_store}, items::Ptr{s3dlio_put_item}, count::Csize_t, options::Ptr{s3dlio_put_options}, options_size::Csize_t, err::ErrorOut)::Int32
    s3dlio_store_put(store::Ptr{s3dlio_store}, key::Cstring, data::Ptr{Cvoid}, length::Csize_t, options::Ptr{s3dlio_put_options}, options_size::Csize_t, stats::Ptr{s3dlio_write_stats}, stats_size::Csize_t, err::ErrorOut)::Int32
    s3dlio_store_stat(store::Ptr{s3dlio_store}, key::Cstring, info::Ptr{s3dlio_object_info}, info_size::Csize_t, strings::Ptr{Ptr{s3dlio_buffer}}, err::ErrorOut)::Int32
    s3dlio_store_exists(store::Ptr{s3dlio_store}, key::Cstring, exists::Ptr{Int32}, err::ErrorOut)::Int32
    s3dlio_store_delete(store::Ptr{s3dlio_store}, key::Cstring, err::ErrorOut)::Int32
    s3dlio_store_delete_prefix(store::Ptr{s3dlio_store}, prefix::Cstring, deleted::Ptr{UInt64}, err::ErrorOut)::Int32
    s3dlio_store_copy(store::Ptr{s3dlio_store}, from::Cstring, to::Cstring, err::ErrorOut)::Int32
    s3dlio_store_rename(store::Ptr{s3dlio_store}, from::Cstring, to::Cstring, err::ErrorOut)::Int32
    s3dlio_store_create_container(store::Ptr{s3dlio_store}, err::ErrorOut)::Int32
    s3dlio_store_delete_container(store::Ptr{s3dlio_store}, err::ErrorOut)::Int32
    s3dlio_store_list(store::Ptr{s3dlio_store}, prefix::Cstring, recursive::Int32, lister::Ptr{Ptr{s3dlio_lister}}, err::ErrorOut)::Int32
    s3dlio_store_list_containers(store::Ptr{s3dlio_store}, lister::Ptr{Ptr{s3dlio_lister}}, err::ErrorOut)::Int32
    s3dlio_store_validate(store::Ptr{s3dlio_store}, key::Cstring, offset::UInt64, length::UInt64, crc32c::Ptr{UInt32}, err::ErrorOut)::Int32
    s3dlio_store_validate_many(store::Ptr{s3dlio_store}, checks::Ptr{s3dlio_check}, count::Csize_t, err::ErrorOut)::Int32

    s3dlio_get(uri::Cstring, options::Ptr{s3dlio_options}, data::Ptr{Ptr{s3dlio_buffer}}, err::ErrorOut)::Int32
    s3dlio_put(uri::Cstring, options::Ptr{s3dlio_options}, data::Ptr{Cvoid}, length::Csize_t, err::ErrorOut)::Int32
    s3dlio_stat(uri::Cstring, options::Ptr{s3dlio_options}, info::Ptr{s3dlio_object_info}, info_size::Csize_t, strings::Ptr{Ptr{s3dlio_buffer}}, err::ErrorOut)::Int32
    s3dlio_exists(uri::Cstring, options::Ptr{s3dlio_options}, exists::Ptr{Int32}, err::ErrorOut)::Int32
    s3dlio_delete(uri::Cstring, options::Ptr{s3dlio_options}, err::ErrorOut)::Int32

    s3dlio_lister_next(lister::Ptr{s3dlio_lister}, info::Ptr{s3dlio_object_info}, info_size::Csize_t, err::ErrorOut)::Int32

    s3dlio_reader_open(store::Ptr{s3dlio_store}, key::Cstring, options::Ptr{s3dlio_options}, reader::Ptr{Ptr{s3dlio_reader}}, err::ErrorOut)::Int32
    s3dlio_reader_size(reader::Ptr{s3dlio_reader}, size::Ptr{UInt64}, err::ErrorOut)::Int32
    s3dlio_reader_info(reader::Ptr{s3dlio_reader}, info::Ptr{s3dlio_object_info}, info_size::Csize_t, err::ErrorOut)::Int32
    s3dlio_reader_read_at(reader::Ptr{s3dlio_reader}, offset::UInt64, dst::Ptr{Cvoid}, length::Csize_t, bytes_read::Ptr{Csize_t}, err::ErrorOut)::Int32
    s3dlio_reader_readv_at(reader::Ptr{s3dlio_reader}, ranges::Ptr{s3dlio_range}, count::Csize_t, err::ErrorOut)::Int32
    s3dlio_reader_read(reader::Ptr{s3dlio_reader}, dst::Ptr{Cvoid}, length::Csize_t, bytes_read::Ptr{Csize_t}, err::ErrorOut)::Int32
    s3dlio_reader_seek(reader::Ptr{s3dlio_reader}, offset::Int64, whence::Int32, position::Ptr{UInt64}, err::ErrorOut)::Int32

    s3dlio_writer_open(store::Ptr{s3dlio_store}, key::Cstring, options::Ptr{s3dlio_options}, put_options::Ptr{s3dlio_put_options}, put_options_size::Csize_t, writer::Ptr{Ptr{s3dlio_writer}}, err::ErrorOut)::Int32
    s3dlio_writer_write(writer::Ptr{s3dlio_writer}, data::Ptr{Cvoid}, length::Csize_t, err::ErrorOut)::Int32
    s3dlio_writer_write_buffer(writer::Ptr{s3dlio_writer}, buffer::Ptr{s3dlio_buffer}, err::ErrorOut)::Int32
    s3dlio_writer_reserve(writer::Ptr{s3dlio_writer}, min_size::Csize_t, data::Ptr{Ptr{Cvoid}}, capacity::Ptr{Csize_t}, err::ErrorOut)::Int32
    s3dlio_writer_commit(writer::Ptr{s3dlio_writer}, length::Csize_t, err::ErrorOut)::Int32
    s3dlio_writer_finish(writer::Ptr{s3dlio_writer}, stats::Ptr{s3dlio_write_stats}, stats_size::Csize_t, err::ErrorOut)::Int32
    s3dlio_writer_abort(writer::Ptr{s3dlio_writer}, err::ErrorOut)::Int32

    s3dlio_dataset_open(uri::Cstring, params::Ptr{s3dlio_dataset_params}, params_size::Csize_t, options::Ptr{s3dlio_options}, dataset::Ptr{Ptr{s3dlio_dataset}}, err::ErrorOut)::Int32
    s3dlio_dataset_open_uris(uris::Ptr{Cstring}, count::Csize_t, params::Ptr{s3dlio_dataset_params}, params_size::Csize_t, options::Ptr{s3dlio_options}, dataset::Ptr{Ptr{s3dlio_dataset}}, err::ErrorOut)::Int32
    s3dlio_dataset_open_manifest(path::Cstring, params::Ptr{s3dlio_dataset_params}, params_size::Csize_t, options::Ptr{s3dlio_options}, dataset::Ptr{Ptr{s3dlio_dataset}}, err::ErrorOut)::Int32
    s3dlio_dataset_write_manifest(uri::Cstring, params::Ptr{s3dlio_dataset_params}, params_size::Csize_t, options::Ptr{s3dlio_options}, path::Cstring, count::Ptr{UInt64}, err::ErrorOut)::Int32
    s3dlio_dataset_index(dataset::Ptr{s3dlio_dataset}, indexed::Ptr{Ptr{s3dlio_dataset}}, err::ErrorOut)::Int32
    s3dlio_dataset_get_many(dataset::Ptr{s3dlio_dataset}, indices::Ptr{UInt64}, count::Csize_t, batch::Ptr{Ptr{s3dlio_batch}}, err::ErrorOut)::Int32
    s3dlio_batch_gather(batch::Ptr{s3dlio_batch}, field::Csize_t, dst::Ptr{Cvoid}, capacity::Csize_t, offsets::Ptr{UInt64}, err::ErrorOut)::Int32
    s3dlio_loader_open(dataset::Ptr{s3dlio_dataset}, params::Ptr{s3dlio_loader_params}, params_size::Csize_t, options::Ptr{s3dlio_options}, loader::Ptr{Ptr{s3dlio_loader}}, err::ErrorOut)::Int32
    s3dlio_loader_next(loader::Ptr{s3dlio_loader}, batch::Ptr{Ptr{s3dlio_batch}}, err::ErrorOut)::Int32
    s3dlio_loader_free(loader::Ptr{s3dlio_loader})::Cvoid
    s3dlio_generate(params::Ptr{s3dlio_generate_params}, params_size::Csize_t, object::UInt64, offset::UInt64, dst::Ptr{Cvoid}, length::Csize_t, err::ErrorOut)::Int32
    s3dlio_generate_object(params::Ptr{s3dlio_generate_params}, params_size::Csize_t, object_params::Ptr{s3dlio_generate_object_params}, object_params_size::Csize_t, object::UInt64, data::Ptr{Ptr{s3dlio_buffer}}, err::ErrorOut)::Int32

    s3dlio_tfrecord_append(data::Ptr{Cvoid}, length::Csize_t, dst::Ptr{Cvoid}, capacity::Csize_t, written::Ptr{Csize_t}, err::ErrorOut)::Int32
    s3dlio_tfrecord_parse(data::Ptr{Cvoid}, length::Csize_t, records::Ptr{s3dlio_extent}, capacity::Csize_t, count::Ptr{Csize_t}, err::ErrorOut)::Int32
    s3dlio_tfrecord_index(data::Ptr{Cvoid}, length::Csize_t, kind::Int32, index::Ptr{Ptr{s3dlio_buffer}}, err::ErrorOut)::Int32
    s3dlio_tfrecord_index_parse(index::Ptr{Cvoid}, length::Csize_t, file_size::UInt64, frames::Ptr{s3dlio_extent}, capacity::Csize_t, count::Ptr{Csize_t}, err::ErrorOut)::Int32
    s3dlio_tar_append(name::Cstring, data::Ptr{Cvoid}, length::Csize_t, dst::Ptr{Cvoid}, capacity::Csize_t, written::Ptr{Csize_t}, err::ErrorOut)::Int32
    s3dlio_npy_head(descr::Cstring, fortran_order::Int32, shape::Ptr{UInt64}, ndim::Csize_t, head::Ptr{Ptr{s3dlio_buffer}}, err::ErrorOut)::Int32
    s3dlio_npy_parse(head::Ptr{Cvoid}, length::Csize_t, file_size::UInt64, info::Ptr{s3dlio_npy_info}, info_size::Csize_t, err::ErrorOut)::Int32
    s3dlio_npz_write(arrays::Ptr{s3dlio_array}, count::Csize_t, file::Ptr{Ptr{s3dlio_buffer}}, err::ErrorOut)::Int32
    s3dlio_hdf5_write(arrays::Ptr{s3dlio_array}, count::Csize_t, file::Ptr{Ptr{s3dlio_buffer}}, err::ErrorOut)::Int32
    s3dlio_npz_list(tail::Ptr{Cvoid}, length::Csize_t, file_size::UInt64, members::Ptr{Ptr{s3dlio_npz_member}}, count::Ptr{Csize_t}, owner::Ptr{Ptr{s3dlio_buffer}}, err::ErrorOut)::Int32
    s3dlio_npz_unpack(member::Ptr{s3dlio_npz_member}, data::Ptr{Cvoid}, length::Csize_t, file::Ptr{Ptr{s3dlio_buffer}}, err::ErrorOut)::Int32

    s3dlio_checkpoint_writer_open(store::Ptr{s3dlio_store}, options::Ptr{s3dlio_options}, params::Ptr{s3dlio_checkpoint_params}, params_size::Csize_t, writer::Ptr{Ptr{s3dlio_checkpoint_writer}}, err::ErrorOut)::Int32
    s3dlio_checkpoint_writer_put_tensors(writer::Ptr{s3dlio_checkpoint_writer}, shard::Cstring, tensors::Ptr{s3dlio_tensor}, count::Csize_t, err::ErrorOut)::Int32
    s3dlio_checkpoint_writer_snapshot_tensors(writer::Ptr{s3dlio_checkpoint_writer}, shard::Cstring, tensors::Ptr{s3dlio_tensor}, count::Csize_t, err::ErrorOut)::Int32
    s3dlio_checkpoint_writer_snapshot_buffers(writer::Ptr{s3dlio_checkpoint_writer}, shard::Cstring, tensors::Ptr{s3dlio_tensor}, buffers::Ptr{Ptr{s3dlio_buffer}}, count::Csize_t, err::ErrorOut)::Int32
    s3dlio_checkpoint_writer_put_bytes(writer::Ptr{s3dlio_checkpoint_writer}, shard::Cstring, data::Ptr{Cvoid}, length::Csize_t, err::ErrorOut)::Int32
    s3dlio_checkpoint_writer_open_shard(writer::Ptr{s3dlio_checkpoint_writer}, shard::Cstring, tensors::Ptr{s3dlio_tensor}, count::Csize_t, stream::Ptr{Ptr{s3dlio_checkpoint_shard}}, err::ErrorOut)::Int32
    s3dlio_checkpoint_writer_finish(writer::Ptr{s3dlio_checkpoint_writer}, err::ErrorOut)::Int32
    s3dlio_checkpoint_writer_commit(writer::Ptr{s3dlio_checkpoint_writer}, err::ErrorOut)::Int32
    s3dlio_checkpoint_writer_abort(writer::Ptr{s3dlio_checkpoint_writer}, err::ErrorOut)::Int32
    s3dlio_checkpoint_shard_write(shard::Ptr{s3dlio_checkpoint_shard}, data::Ptr{Cvoid}, length::Csize_t, err::ErrorOut)::Int32
    s3dlio_checkpoint_shard_reserve(shard::Ptr{s3dlio_checkpoint_shard}, min_size::Csize_t, data::Ptr{Ptr{Cvoid}}, capacity::Ptr{Csize_t}, err::ErrorOut)::Int32
    s3dlio_checkpoint_shard_commit(shard::Ptr{s3dlio_checkpoint_shard}, length::Csize_t, err::ErrorOut)::Int32
    s3dlio_checkpoint_shard_finish(shard::Ptr{s3dlio_checkpoint_shard}, stats::Ptr{s3dlio_write_stats}, stats_size::Csize_t, err::ErrorOut)::Int32
    s3dlio_checkpoint_open(store::Ptr{s3dlio_store}, options::Ptr{s3dlio_options}, step::UInt64, checkpoint::Ptr{Ptr{s3dlio_checkpoint}}, err::ErrorOut)::Int32
    s3dlio_checkpoint_open_id(store::Ptr{s3dlio_store}, options::Ptr{s3dlio_options}, id::Cstring, checkpoint::Ptr{Ptr{s3dlio_checkpoint}}, err::ErrorOut)::Int32
    s3dlio_checkpoint_load(checkpoint::Ptr{s3dlio_checkpoint}, requests::Ptr{s3dlio_tensor_request}, count::Csize_t, err::ErrorOut)::Int32
    s3dlio_checkpoint_read_shard(checkpoint::Ptr{s3dlio_checkpoint}, rank::UInt32, shard::Cstring, data::Ptr{Ptr{s3dlio_buffer}}, err::ErrorOut)::Int32
    s3dlio_checkpoint_validate(checkpoint::Ptr{s3dlio_checkpoint}, deep::UInt32, err::ErrorOut)::Int32
    s3dlio_checkpoint_list(store::Ptr{s3dlio_store}, steps::Ptr{UInt64}, capacity::Csize_t, count::Ptr{Csize_t}, err::ErrorOut)::Int32
    s3dlio_checkpoint_delete(store::Ptr{s3dlio_store}, step::UInt64, err::ErrorOut)::Int32
    s3dlio_checkpoint_prune(store::Ptr{s3dlio_store}, keep_last::UInt64, keep_every::UInt64, deleted::Ptr{Csize_t}, err::ErrorOut)::Int32
    s3dlio_checkpoint_collect(store::Ptr{s3dlio_store}, min_age_ms::UInt64, removed::Ptr{Csize_t}, err::ErrorOut)::Int32
end
