/*
 * s3dlio.h - the C interface of libs3dlio 0.1.0
 *
 * Copyright the libs3dlio contributors. Licence: Apache-2.0.
 * Generated from src/ffi: see CONTRIBUTING.md.
 *
 * libs3dlio moves data between memory and object storage: S3, Azure Blob, local files, O_DIRECT files
 * and memory. This header is its manual; every program in every language goes through it.
 *
 *     s3dlio_store *store = NULL;
 *     s3dlio_error *err = NULL;
 *     if (s3dlio_store_open("file:///tmp/demo", NULL, &store, &err) != S3DLIO_OK ||
 *         s3dlio_store_put(store, "hello", "hello", 5, NULL, 0, NULL, 0, &err) != S3DLIO_OK) {
 *         fprintf(stderr, "%s\n", s3dlio_error_message(err));
 *         s3dlio_error_free(err);
 *     }
 *     s3dlio_store_free(store);
 *
 * 1. Names and types
 * Functions are s3dlio_<handle>_<verb>. Handles are pointers to incomplete types. Only int32_t,
 * uint32_t, int64_t, uint64_t, size_t and pointers cross the interface. Sizes and offsets are bytes.
 *
 * 2. Errors
 * A function that can fail returns a status: S3DLIO_OK (0), a positive outcome that is no error
 * (S3DLIO_END, S3DLIO_TIMEOUT), or a negative S3DLIO_ERR_*. Its last parameter `err` may be NULL; else *err is set to
 * NULL at the start and, on failure, to an error object, which the caller frees. So free an error
 * before *err is used again. Outputs are written on success only; where a function differs, it says so.
 * There is no "last error" of a thread. A status that a program does not know: negative is an error.
 * The functions name their own errors without the S3DLIO_ERR_ in front; any may also return INTERNAL.
 *
 * 3. Ownership
 * What a function gives through a handle output is the caller's, who frees it with the type's
 * s3dlio_<handle>_free. Free takes NULL, never blocks (a loader's for milliseconds), never does I/O, never fails, and may be called
 * on any thread (a finalizer's too) and in any order: children keep what they need of their parents.
 * Strings that are returned as const char * belong to the handle they came from and live as long as it
 * does, unless the function says otherwise. Memory that a caller passes is used only during the call;
 * the _submit functions are the exception (11).
 *
 * 4. Handles are checked
 * A handle that was freed, is of another type or was never one is S3DLIO_ERR_BAD_HANDLE; NULL is
 * S3DLIO_ERR_INVALID_ARGUMENT. Freeing twice is harmless. Freeing a handle that another thread is using
 * is safe: its call ends normally. A defect inside the library is S3DLIO_ERR_INTERNAL, and the handle
 * then refuses further work with S3DLIO_ERR_POISONED; the program lives.
 *
 * 5. Strings and memory
 * Strings are NUL-terminated UTF-8; others are S3DLIO_ERR_INVALID_ARGUMENT. A data pointer may be NULL
 * where its length is 0. A length that memory cannot have is S3DLIO_ERR_INVALID_ARGUMENT.
 *
 * 6. Structs
 * A struct that may grow is passed with its size: pass sizeof. A library that knows more fields takes
 * the missing ones as 0; a library that knows fewer refuses the unknown ones if they are not 0. A struct
 * that is filled gets the fields that both know; the rest is 0. A size of 0 or of more than 4096 is
 * S3DLIO_ERR_INVALID_ARGUMENT. Fields named reserved are 0.
 *
 * 7. Threads
 * Every function may be called on any thread. The types' comments say what may run at the same time on
 * one handle; where only one call may, a second one is S3DLIO_ERR_INVALID_STATE at once. Calls block
 * (but for the _submit functions);
 * local files and memory are read and written on the calling thread, network I/O runs on threads of the
 * library's, which block all signals. A blocking call on one of those threads (from a log callback) is
 * S3DLIO_ERR_WOULD_DEADLOCK.
 *
 * 8. fork()
 * After fork() the child uses stores, datasets, options, buffers, batches and errors as before: its first operation starts
 * fresh threads and connections. Readers, writers, listers, loaders and queues are S3DLIO_ERR_FORKED in the child and go
 * on in the parent; freeing them in the child touches nothing of the parent's. fork() waits for no
 * running transfer.
 *
 * 9. exit
 * A program may exit at any time, with live handles and running transfers; what was not finished is not
 * published. s3dlio_shutdown is for those who want to wait; it cancels what was submitted to queues. The library stays loaded after dlclose.
 *
 * 10. Versions
 * Functions never change their meaning or parameters; new ones are added. Status numbers and option
 * keys are never reused. Compare s3dlio_abi_version() with S3DLIO_ABI_VERSION: the same upper half, and
 * at least the lower half. Before 1.0 every 0.y has an upper half of its own. "Since:" names the
 * version that brought a function.
 *
 * 11. Without waiting
 * A queue gives the outcomes of submitted operations as events, and has a descriptor to wait for:
 *
 *     s3dlio_queue *queue;
 *     int32_t fd;
 *     s3dlio_event done;
 *     s3dlio_queue_new(&queue, &err);
 *     s3dlio_queue_fd(queue, &fd, &err);
 *     int loop = epoll_create1(EPOLL_CLOEXEC);
 *     epoll_ctl(loop, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLIN, .data.fd = fd});
 *     for (uint64_t i = 0; i < count; i++) {
 *         s3dlio_store_get_into_submit(store, keys[i], memory[i], sizes[i], queue, i, NULL, &err);
 *     }
 *     for (uint64_t left = count; left > 0;) {
 *         struct epoll_event ready;
 *         epoll_wait(loop, &ready, 1, -1);
 *         while (s3dlio_queue_next(queue, 0, &done, sizeof done, &err) == S3DLIO_OK) {
 *             if (done.status < 0) fprintf(stderr, "%s\n", s3dlio_error_message(done.error));
 *             else use(memory[done.token], done.bytes);
 *             s3dlio_error_free(done.error);
 *             s3dlio_buffer_free(done.data);
 *             left--;
 *         }
 *     }
 *     s3dlio_queue_free(queue);
 */

#ifndef S3DLIO_H
#define S3DLIO_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The version of this header. */
#define S3DLIO_VERSION_MAJOR 0
#define S3DLIO_VERSION_MINOR 1
#define S3DLIO_VERSION_PATCH 0
#define S3DLIO_VERSION_STRING "0.1.0"

/** The ABI version of this header, see s3dlio_abi_version. */
#define S3DLIO_ABI_VERSION 0x00010000u

/** An argument is NULL, out of its domain or contradicts another one. */
#define S3DLIO_ERR_INVALID_ARGUMENT (-1)

/** The handle is stale, was freed before, or is of another type. */
#define S3DLIO_ERR_BAD_HANDLE (-2)

/** A defect of this library (a caught panic); the handle is poisoned. */
#define S3DLIO_ERR_INTERNAL (-3)

/** The handle was used by a call that panicked and refuses further work. */
#define S3DLIO_ERR_POISONED (-4)

/** The call does not fit the handle's state, such as a write after finish. */
#define S3DLIO_ERR_INVALID_STATE (-5)

/** The handle was inherited through fork() and works only in the parent. */
#define S3DLIO_ERR_FORKED (-6)

/** The library was shut down. */
#define S3DLIO_ERR_SHUTDOWN (-7)

/** A blocking call was made on one of the library's own threads. */
#define S3DLIO_ERR_WOULD_DEADLOCK (-8)

/** The backend or this build cannot do this. */
#define S3DLIO_ERR_UNSUPPORTED (-9)

/** The operation was cancelled. */
#define S3DLIO_ERR_CANCELLED (-10)

/** The URI cannot be parsed or its scheme is unknown. */
#define S3DLIO_ERR_INVALID_URI (-11)

/** The key is not legal for this store, or would leave its root. */
#define S3DLIO_ERR_INVALID_KEY (-12)

/** There is no option of this name. */
#define S3DLIO_ERR_UNKNOWN_OPTION (-13)

/** The option's value has the wrong type or is out of bounds. */
#define S3DLIO_ERR_INVALID_OPTION (-14)

/** There is no object of this key. */
#define S3DLIO_ERR_NOT_FOUND (-20)

/** There is no such bucket, container or root folder. */
#define S3DLIO_ERR_CONTAINER_NOT_FOUND (-21)

/** Something of this name exists already. */
#define S3DLIO_ERR_ALREADY_EXISTS (-22)

/** The object's ETag is not the one that if-match demanded. */
#define S3DLIO_ERR_PRECONDITION_FAILED (-23)

/** The object was replaced while it was being read, copied or moved. */
#define S3DLIO_ERR_CHANGED (-24)

/** The container still holds objects. */
#define S3DLIO_ERR_NOT_EMPTY (-25)

/** The range starts past the end of the object. */
#define S3DLIO_ERR_RANGE (-26)

/** The caller's memory is smaller than the object; the error's detail `required` says the size. */
#define S3DLIO_ERR_BUFFER_TOO_SMALL (-27)

/** The credentials do not permit this. */
#define S3DLIO_ERR_PERMISSION_DENIED (-30)

/** Credentials are missing, malformed, expired or refused. */
#define S3DLIO_ERR_UNAUTHENTICATED (-31)

/** The host name could not be resolved. */
#define S3DLIO_ERR_DNS (-40)

/** The connection was refused, reset or closed. */
#define S3DLIO_ERR_CONNECTION (-41)

/** TLS could not be established, or the certificate is not trusted. */
#define S3DLIO_ERR_TLS (-42)

/** A deadline passed. */
#define S3DLIO_ERR_TIMEOUT (-43)

/** The server is overloaded or temporarily failing (429, 500, 502, 503, 504). */
#define S3DLIO_ERR_UNAVAILABLE (-44)

/** The server answered with an error that has no code of its own. */
#define S3DLIO_ERR_SERVER (-45)

/** The server's answer breaks its protocol. */
#define S3DLIO_ERR_PROTOCOL (-46)

/** It is unknown whether the write took effect: it may have arrived, and no usable answer came. */
#define S3DLIO_ERR_UNKNOWN_OUTCOME (-47)

/** An operating system call failed; see errno. */
#define S3DLIO_ERR_IO (-50)

/** The device or quota is full. */
#define S3DLIO_ERR_NO_SPACE (-51)

/** Memory could not be had. */
#define S3DLIO_ERR_OUT_OF_MEMORY (-52)

/** A checksum does not match the bytes. */
#define S3DLIO_ERR_CHECKSUM_MISMATCH (-60)

/** Fewer bytes came than were promised. */
#define S3DLIO_ERR_TRUNCATED (-61)

/** Stored data is malformed, such as a broken zstd frame. */
#define S3DLIO_ERR_CORRUPT (-62)

/*
 * ==================================================================================================
 * Handles and shared structures
 *
 * Handles are pointers to incomplete types. They are tokens, not addresses: never dereference or
 * compute with one. Each type has its thread rule; "any thread, concurrently" means that many calls
 * may run on one handle at the same time.
 */

/** Success. */
#define S3DLIO_OK 0

/**
 * Not an error: there is nothing more. A lister at its end, a sequential reader at the end of its
 * object, a loader at the end of its epoch, a closed queue whose events were all taken.
 */
#define S3DLIO_END 1

/** Not an error: a wait ended without an event. */
#define S3DLIO_TIMEOUT 2

/** `kind` of s3dlio_object_info: an object. */
#define S3DLIO_KIND_OBJECT 0

/** `kind` of s3dlio_object_info: a common prefix ("folder"), its key ends in a slash. */
#define S3DLIO_KIND_PREFIX 1

/** `kind` of s3dlio_object_info: a bucket, container or root folder. */
#define S3DLIO_KIND_CONTAINER 2

/** `whence` of s3dlio_reader_seek: from the start. */
#define S3DLIO_SEEK_SET 0

/** `whence` of s3dlio_reader_seek: from the present position. */
#define S3DLIO_SEEK_CUR 1

/** `whence` of s3dlio_reader_seek: from the end. */
#define S3DLIO_SEEK_END 2

/** `format`: every object is an item. */
#define S3DLIO_FORMAT_OBJECTS 0

/** `format`: tar files in WebDataset's convention. */
#define S3DLIO_FORMAT_TAR 1

/** `format`: TFRecord files. */
#define S3DLIO_FORMAT_TFRECORD 2

/** `format`: NPZ files. */
#define S3DLIO_FORMAT_NPZ 3

/** `format`: files of records of one size. */
#define S3DLIO_FORMAT_FIXED 4

/** `format` of s3dlio_generate_object: an HDF5 file. */
#define S3DLIO_FORMAT_HDF5 5

/** `format` of s3dlio_generate_object: bytes without a format. */
#define S3DLIO_FORMAT_RAW 6

/** As a length: up to the end of the object. */
#define S3DLIO_TO_END UINT64_MAX

/** Samples with their bytes. Immutable; any thread, concurrently. */
typedef struct s3dlio_batch s3dlio_batch;

/**
 * A block of memory, reference counted. Any thread, concurrently; who writes to the memory sees to
 * it that nobody else uses those bytes meanwhile.
 */
typedef struct s3dlio_buffer s3dlio_buffer;

/** A committed checkpoint. Any thread, concurrently. */
typedef struct s3dlio_checkpoint s3dlio_checkpoint;

/**
 * One shard of a save that is being written. Any thread, one at a time (else
 * S3DLIO_ERR_INVALID_STATE); different shards of one writer concurrently.
 */
typedef struct s3dlio_checkpoint_shard s3dlio_checkpoint_shard;

/** One rank's part of one save. Any thread, one at a time (else S3DLIO_ERR_INVALID_STATE). */
typedef struct s3dlio_checkpoint_writer s3dlio_checkpoint_writer;

/** What there is to draw samples from. Any thread, concurrently. */
typedef struct s3dlio_dataset s3dlio_dataset;

/** An error with everything that is known about it. Immutable; any thread, concurrently. */
typedef struct s3dlio_error s3dlio_error;

/** A listing under way. Any thread, one at a time (else S3DLIO_ERR_INVALID_STATE). */
typedef struct s3dlio_lister s3dlio_lister;

/** A pass over a dataset. Any thread, one at a time (else S3DLIO_ERR_INVALID_STATE). */
typedef struct s3dlio_loader s3dlio_loader;

/** A submitted operation, to cancel it or to ask how far it is. Any thread, concurrently. */
typedef struct s3dlio_op s3dlio_op;

/**
 * A set of options. Any thread; many may read it at once, a change that meets another change is
 * S3DLIO_ERR_INVALID_STATE.
 */
typedef struct s3dlio_options s3dlio_options;

/** Where the events of submitted operations come. Any thread, concurrently. */
typedef struct s3dlio_queue s3dlio_queue;

/**
 * One object that is being read. Any thread; size, info, read_at and readv_at concurrently, the
 * others one at a time (else S3DLIO_ERR_INVALID_STATE).
 */
typedef struct s3dlio_reader s3dlio_reader;

/** Objects below one root URI. Any thread, concurrently. */
typedef struct s3dlio_store s3dlio_store;

/** One object that is being written. Any thread, one at a time (else S3DLIO_ERR_INVALID_STATE). */
typedef struct s3dlio_writer s3dlio_writer;

/** A pair of texts. This struct never grows. */
typedef struct s3dlio_key_value {
    /** NUL-terminated UTF-8. */
    const char *key;
    /** NUL-terminated UTF-8. */
    const char *value;
} s3dlio_key_value;

/**
 * Facts of an object, a common prefix or a container. The call that fills it says how long its
 * texts live.
 */
typedef struct s3dlio_object_info {
    /** S3DLIO_KIND_OBJECT, S3DLIO_KIND_PREFIX or S3DLIO_KIND_CONTAINER. */
    uint32_t kind;
    /** 1 if crc32c is known, else 0. */
    uint32_t has_crc32c;
    /** In bytes as stored; 0 for prefixes and containers. */
    uint64_t size;
    /** Nanoseconds since 1970-01-01 UTC, of a container its creation; INT64_MIN if unknown. */
    int64_t last_modified_ns;
    /** CRC32C of the stored bytes, if has_crc32c is 1. */
    uint32_t crc32c;
    /** 0. */
    uint32_t reserved;
    /** Relative to the store's root; of a container its name. */
    const char *key;
    /** The full URI. */
    const char *uri;
    /** Opaque, differs whenever the bytes differ; NULL if unknown. */
    const char *etag;
    /** NULL if unknown. */
    const char *content_type;
    /** User metadata; listings do not know it. */
    const s3dlio_key_value *metadata;
    /** How many pairs metadata has. */
    size_t metadata_count;
} s3dlio_object_info;

/** How to store an object. All zero are the defaults. */
typedef struct s3dlio_put_options {
    /** NULL: none. */
    const char *content_type;
    /**
     * User metadata: names of lower-case letters, digits and _, starting with a letter; values of
     * printable ASCII; together at most 2048 bytes.
     */
    const s3dlio_key_value *metadata;
    /** How many pairs metadata has. */
    size_t metadata_count;
    /**
     * NULL: no condition; else replace only the object of this ETag, or fail with
     * S3DLIO_ERR_PRECONDITION_FAILED.
     */
    const char *if_match;
    /** 1: fail with S3DLIO_ERR_ALREADY_EXISTS where there is an object of this key. 0: replace it. */
    uint32_t create_only;
    /** 0. */
    uint32_t reserved;
} s3dlio_put_options;

/** What was written. */
typedef struct s3dlio_write_stats {
    /** Plain bytes taken in. */
    uint64_t bytes;
    /** Bytes stored: the same, or what compression made of them. */
    uint64_t stored_bytes;
    /** CRC32C of the plain bytes. */
    uint32_t crc32c;
    /** CRC32C of the stored bytes. */
    uint32_t stored_crc32c;
    /** Parts stored; 1 for an object that went in one request. */
    uint32_t parts;
    /** 1 once the object is published, else 0. */
    uint32_t finished;
    /** The new object's ETag; "" until it is published, or if it is unknown or longer. */
    char etag[256];
} s3dlio_write_stats;

/** A piece of an object and where it goes. This struct never grows. */
typedef struct s3dlio_range {
    /** The first byte in the object. */
    uint64_t offset;
    /** Bytes wanted; dst has room for them. */
    size_t length;
    /** Where they go. The memory of two ranges of one call must not overlap. */
    void *dst;
    /** Out: bytes read; fewer than length only at the end of the object. */
    size_t bytes_read;
} s3dlio_range;

/*
 * ==================================================================================================
 * The library
 *
 * Any thread, concurrently. Nothing has to be initialised.
 */

/** Numbers of the whole process. */
typedef struct s3dlio_stats {
    /** Bytes in buffers that are kept for reuse. */
    uint64_t pool_idle_bytes;
    /** How many of those buffers there are. */
    uint64_t pool_idle_buffers;
    /** How often a file system refused O_DIRECT and buffered I/O was used instead. */
    uint64_t direct_fallbacks;
    /** Live handles of all types. */
    uint64_t handles;
    /** How many operations on files went without io_uring because the system refused it. */
    uint64_t io_uring_fallbacks;
} s3dlio_stats;

/**
 * The ABI version of the library that is loaded, as S3DLIO_ABI_VERSION is of this header: major
 * in the upper 16 bits, minor in the lower. A program works with a library of the same major and
 * the same or a larger minor.
 * Since: 0.1
 */
uint32_t s3dlio_abi_version(void);

/**
 * The version of the library that is loaded, such as "0.1.0". Static.
 * Since: 0.1
 */
const char *s3dlio_version(void);

/**
 * Whether the library has a feature: 1 or 0. Names: s3, azure, file, direct, memory, zstd,
 * profiling. An unknown name and NULL give 0.
 * Since: 0.1
 */
int32_t s3dlio_has_feature(const char *name);

/**
 * The name of a status, such as "not_found"; "unknown" for numbers that are none. Static.
 * Since: 0.1
 */
const char *s3dlio_status_name(int32_t status);

/**
 * What a status means, in one sentence. Static.
 * Since: 0.1
 */
const char *s3dlio_status_doc(int32_t status);

/**
 * Cancels submitted operations, whose events say SHUTDOWN and can be taken afterwards, waits until
 * they, running calls and the clean-up of freed handles are done, at most `timeout_ms` milliseconds,
 * and ends the library's threads. Optional: a program may simply exit. Readers,
 * writers and listers from before return S3DLIO_ERR_SHUTDOWN afterwards; everything else starts the
 * library afresh.
 * Errors: TIMEOUT (work is still running; nothing else changed), WOULD_DEADLOCK.
 * Since: 0.1
 */
int32_t s3dlio_shutdown(uint64_t timeout_ms, s3dlio_error **err);

/**
 * CRC32C (Castagnoli) of `length` bytes that follow those that `crc` covers; start with 0. NULL
 * with length 0 is fine; NULL with another length gives `crc` back.
 * Since: 0.1
 */
uint32_t s3dlio_crc32c(uint32_t crc, const void *data, size_t length);

/**
 * CRC32C of two pieces in a row, from the CRC32C of each and the second's length in bytes.
 * Since: 0.1
 */
uint32_t s3dlio_crc32c_combine(uint32_t first, uint32_t second, uint64_t second_length);

/**
 * Numbers of the whole process.
 * Errors: INVALID_ARGUMENT.
 * Since: 0.1
 */
int32_t s3dlio_get_stats(s3dlio_stats *stats, size_t stats_size, s3dlio_error **err);

/*
 * ==================================================================================================
 * Logs
 *
 * The library logs nothing until it is asked to. Messages carry no credentials; only the library's
 * own messages appear, none of the SDKs inside.
 */

/**
 * Receives a log message: level (1 error, 2 warn, 3 info, 4 debug, 5 trace), the part of the
 * library, the text, and the `user` of s3dlio_log_set_callback. The texts live during the call. It
 * runs on any thread, the library's own included, and on several at once; it must return, must not
 * throw or longjmp, and must not set the log. Library calls that would block are refused on the
 * library's threads with S3DLIO_ERR_WOULD_DEADLOCK.
 */
typedef void (*s3dlio_log_callback)(int32_t level, const char *target, const char *message, void *user);

/**
 * Writes log messages as lines to a duplicate of the file descriptor `fd`; -1 switches the log off.
 * `level`: off, error, warn, info, debug or trace; NULL takes the option log.level. A line that
 * cannot be written is dropped. There is one log: this replaces a descriptor or callback from
 * before.
 * Errors: INVALID_ARGUMENT (fd is not -1 and no open descriptor), INVALID_OPTION (level),
 * INVALID_STATE (called from a log callback).
 * Since: 0.1
 */
int32_t s3dlio_log_to_fd(int32_t fd, const char *level, s3dlio_error **err);

/**
 * Gives log messages to `callback`; NULL switches the log off. When the call returned, the callback
 * from before is not running any more and its `user` may be freed; so never call this while holding
 * a lock that the callback takes. `level` as for s3dlio_log_to_fd.
 * Errors: INVALID_ARGUMENT, INVALID_OPTION (level), INVALID_STATE (called from a log callback).
 * Since: 0.1
 */
int32_t s3dlio_log_set_callback(s3dlio_log_callback callback,
                                void *user,
                                const char *level,
                                s3dlio_error **err);

/*
 * ==================================================================================================
 * Op-log and metrics
 *
 * The op-log has a row for every operation of the process, of all languages, in the format of MinIO's
 * warp: docs/oplog.md. Metrics are counters that are always on: docs/metrics.md. Any thread,
 * concurrently.
 */

/**
 * Starts to write every operation of the process to the file at `path`, compressed with zstd where it
 * ends in ".zst"; "{pid}" in it becomes the process id. NULL takes the option oplog.path. `options` may
 * be NULL; it takes oplog.level. What is there is replaced, unless another process is writing or reading
 * it: then the process id is put before the first dot of the name. A forked child goes on in a file that
 * is named in this way. The log ends with s3dlio_oplog_stop, s3dlio_shutdown or the process; one that the
 * option began goes on after a shutdown, in the same file.
 * Errors: INVALID_ARGUMENT (no path), INVALID_STATE (one is being written already), and those of files.
 * Since: 0.1
 */
int32_t s3dlio_oplog_start(const char *path, const s3dlio_options *options, s3dlio_error **err);

/**
 * Ends the op-log once everything is written. `rows`: how many rows the file has; `dropped`: how many
 * operations are missing in it, because the file took nothing for two seconds. Both may be NULL.
 * Errors: INVALID_STATE (none is being written, another thread ends it, or this is a log callback on its
 * own thread), TIMEOUT (the file took nothing for ten seconds; the log is over all the same), and those of
 * files, such as NO_SPACE: then the details `rows` and `dropped` say how much is there.
 * Since: 0.1
 */
int32_t s3dlio_oplog_stop(uint64_t *rows, uint64_t *dropped, s3dlio_error **err);

/**
 * All metrics as one JSON object: text with a NUL after its end. The caller frees `json`.
 * Errors: INVALID_ARGUMENT, OUT_OF_MEMORY.
 * Since: 0.1
 */
int32_t s3dlio_stats_json(s3dlio_buffer **json, s3dlio_error **err);

/**
 * All metrics in Prometheus' text format, version 0.0.4: text with a NUL after its end. The caller frees
 * `text`.
 * Errors: INVALID_ARGUMENT, OUT_OF_MEMORY.
 * Since: 0.1
 */
int32_t s3dlio_stats_prometheus(s3dlio_buffer **text, s3dlio_error **err);

/*
 * ==================================================================================================
 * Profiles
 *
 * Where the CPU time of the process goes, as a flamegraph: docs/tracing.md. One profile at a time, of all
 * threads. The functions are in every build; they work in one with the cargo feature "profiling"
 * (s3dlio_has_feature), elsewhere they answer S3DLIO_ERR_UNSUPPORTED. Any thread.
 */

/**
 * Starts to sample the stacks of all threads, `hz` times in a second of CPU time, at most 1000; 0 takes 199. Uses
 * SIGPROF, which is ignored afterwards.
 * Errors: UNSUPPORTED, INVALID_ARGUMENT, INVALID_STATE (a profile is running, or the program has a handler of
 * SIGPROF), FORKED (the parent was being profiled).
 * Since: 0.1
 */
int32_t s3dlio_profile_start(uint32_t hz,
                             s3dlio_error **err);

/**
 * Ends the profile and writes it to the file at `path` as an SVG; NULL drops it. Where the file cannot be written the
 * profile goes on.
 * Errors: UNSUPPORTED, INVALID_STATE (none is running, or no sample was taken), FORKED, and those of files.
 * Since: 0.1
 */
int32_t s3dlio_profile_stop(const char *path,
                            s3dlio_error **err);

/*
 * ==================================================================================================
 * Errors
 *
 * An error object says which operation on which URI failed, why, whether trying again can help, and
 * what to do about it. It is immutable and independent of the handle it came from. Its texts live
 * until s3dlio_error_free. On NULL and on stale handles these functions give 0 or NULL.
 */

/**
 * The status that the failed call returned: one of S3DLIO_ERR_*.
 * Since: 0.1
 */
int32_t s3dlio_error_code(const s3dlio_error *error);

/**
 * The whole error in one line: operation, URI, what was wrong, code, HTTP status, errno, causes and
 * hint. UTF-8, for people; do not parse it.
 * Since: 0.1
 */
const char *s3dlio_error_message(const s3dlio_error *error);

/**
 * 1 if the same call may succeed later without any change, else 0.
 * Since: 0.1
 */
int32_t s3dlio_error_retryable(const s3dlio_error *error);

/**
 * The HTTP status of the server's answer; 0 if there was none.
 * Since: 0.1
 */
int32_t s3dlio_error_http_status(const s3dlio_error *error);

/**
 * The errno of the failed system call; 0 if there was none.
 * Since: 0.1
 */
int32_t s3dlio_error_os_errno(const s3dlio_error *error);

/**
 * How many details the error has, for s3dlio_error_detail_at.
 * Since: 0.1
 */
size_t s3dlio_error_detail_count(const s3dlio_error *error);

/**
 * The detail at `index`: its key and value, which live as long as the error. Either pointer may be
 * NULL. Returns S3DLIO_OK, S3DLIO_END past the last detail, S3DLIO_ERR_INVALID_ARGUMENT for a NULL
 * handle, S3DLIO_ERR_BAD_HANDLE for a stale one.
 * Since: 0.1
 */
int32_t s3dlio_error_detail_at(const s3dlio_error *error, size_t index, const char **key, const char **value);

/**
 * The value of the detail `key`, which lives as long as the error; NULL if the error has no such
 * detail. Keys: operation, uri, request_id, attempts, elapsed_ms, hint, and by code: required (the
 * size in bytes that S3DLIO_ERR_BUFFER_TOO_SMALL wants), expected and actual (checksums), offset.
 * Since: 0.1
 */
const char *s3dlio_error_detail(const s3dlio_error *error, const char *key);

/**
 * Frees the error. NULL and stale handles are ignored.
 * Since: 0.1
 */
void s3dlio_error_free(s3dlio_error *error);

/*
 * ==================================================================================================
 * Buffers
 *
 * Blocks of memory that the library owns and reuses: results of gets, and memory to fill for
 * s3dlio_writer_write_buffer. The memory is aligned to 4096 bytes and lives until the last handle
 * (clone) is freed. Size and address never change.
 */

/**
 * Memory of `size` bytes, 0 included. Its contents are unspecified: zeros or old data of this
 * process.
 * Errors: INVALID_ARGUMENT (buffer is NULL, size is more than memory can be), OUT_OF_MEMORY.
 * Since: 0.1
 */
int32_t s3dlio_buffer_new(size_t size, s3dlio_buffer **buffer, s3dlio_error **err);

/**
 * The memory's address. It is not NULL even where the size is 0; NULL for NULL and stale handles.
 * Since: 0.1
 */
void *s3dlio_buffer_data(const s3dlio_buffer *buffer);

/**
 * The memory's size in bytes; 0 for NULL and stale handles.
 * Since: 0.1
 */
size_t s3dlio_buffer_size(const s3dlio_buffer *buffer);

/**
 * Another handle to the same memory; both are freed separately.
 * Errors: INVALID_ARGUMENT, BAD_HANDLE.
 * Since: 0.1
 */
int32_t s3dlio_buffer_clone(const s3dlio_buffer *buffer, s3dlio_buffer **clone, s3dlio_error **err);

/**
 * Frees this handle; the memory goes back to the library with the last one. NULL and stale handles
 * are ignored.
 * Since: 0.1
 */
void s3dlio_buffer_free(s3dlio_buffer *buffer);

/*
 * ==================================================================================================
 * Options
 *
 * Options have dotted keys, such as s3.endpoint or transfer.part_size. A value that is not set
 * comes from the environment, else it is the default; s3dlio_option_at tells keys, types, bounds,
 * environment names and meanings. Options are copied where they are used: changing or freeing them
 * later does not matter. Secrets can be set but never be read back.
 */

/** One option of the table. All texts are static and NUL-terminated. */
typedef struct s3dlio_option_info {
    /** The dotted key. */
    const char *key;
    /** bool, count, size (bytes; also "16MiB"), ms, text, secret or choice. */
    const char *type;
    /** The default as text; "" if there is none. */
    const char *default_value;
    /** What is accepted: "1..=100", "zstd|none"; "" for any text. */
    const char *bounds;
    /** Environment variables that set it, separated by spaces; the first one that is set wins. */
    const char *env;
    /** What it does. */
    const char *doc;
} s3dlio_option_info;

/**
 * A set of options of which none is set.
 * Errors: INVALID_ARGUMENT.
 * Since: 0.1
 */
int32_t s3dlio_options_new(s3dlio_options **options, s3dlio_error **err);

/**
 * Sets an option from text.
 * Errors: INVALID_ARGUMENT (NULL, not UTF-8), BAD_HANDLE, UNKNOWN_OPTION (the error names the
 * nearest key), INVALID_OPTION (wrong type or out of bounds), INVALID_STATE (another thread changes
 * the same options).
 * Since: 0.1
 */
int32_t s3dlio_options_set(s3dlio_options *options, const char *key, const char *value, s3dlio_error **err);

/**
 * Sets an option of type count, size (in bytes) or ms.
 * Errors: as s3dlio_options_set.
 * Since: 0.1
 */
int32_t s3dlio_options_set_u64(s3dlio_options *options, const char *key, uint64_t value, s3dlio_error **err);

/**
 * The value in force as text: the one set, else the environment's, else the default; a secret is
 * "***" if there is one. `options` may be NULL: nothing is set. The result is NUL-terminated
 * text; its size does not count the NUL. The caller frees it.
 * Errors: INVALID_ARGUMENT, BAD_HANDLE, UNKNOWN_OPTION, INVALID_OPTION (the environment's value).
 * Since: 0.1
 */
int32_t s3dlio_options_get(const s3dlio_options *options,
                           const char *key,
                           s3dlio_buffer **value,
                           s3dlio_error **err);

/**
 * An independent copy.
 * Errors: INVALID_ARGUMENT, BAD_HANDLE.
 * Since: 0.1
 */
int32_t s3dlio_options_clone(const s3dlio_options *options, s3dlio_options **clone, s3dlio_error **err);

/**
 * Frees the options. NULL and stale handles are ignored.
 * Since: 0.1
 */
void s3dlio_options_free(s3dlio_options *options);

/**
 * How many options there are.
 * Since: 0.1
 */
size_t s3dlio_option_count(void);

/**
 * Describes the option at `index`, which counts from 0, in the order of the keys.
 * Errors: INVALID_ARGUMENT (also where index is not less than s3dlio_option_count).
 * Since: 0.1
 */
int32_t s3dlio_option_at(size_t index, s3dlio_option_info *info, size_t info_size, s3dlio_error **err);

/*
 * ==================================================================================================
 * Stores
 *
 * A store is opened at a root URI: s3://bucket/prefix, az://account/container/prefix,
 * file:///path, direct:///path (O_DIRECT) or memory://name (this process only). URIs are taken
 * literally, nothing is percent-decoded. Keys are relative to the root, at most 1024 bytes of
 * UTF-8. Cloud and memory stores take any key; file and direct take relative paths of plain names
 * and refuse what could leave the root.
 *
 * Stores are for any thread, concurrently. Listers, readers and writers keep what they need of
 * their store: it may be freed before them.
 *
 * Beside the errors that a function names, every function that talks to a store can fail with
 * INVALID_ARGUMENT (NULL, not UTF-8), BAD_HANDLE, INVALID_KEY, CONTAINER_NOT_FOUND,
 * PERMISSION_DENIED, UNAUTHENTICATED, DNS, CONNECTION, TLS, TIMEOUT, UNAVAILABLE, SERVER, PROTOCOL,
 * IO, OUT_OF_MEMORY, SHUTDOWN (during s3dlio_shutdown), WOULD_DEADLOCK and INTERNAL.
 */

/** What a store can do and wants. */
typedef struct s3dlio_capabilities {
    /** The smallest part but the last, in bytes. */
    uint64_t min_part_size;
    /** The largest part, in bytes. */
    uint64_t max_part_size;
    /** How many parts an object may have. */
    uint32_t max_parts;
    /**
     * Offsets, lengths and addresses that are multiples of this avoid a copy; 1 where it does not
     * matter.
     */
    uint32_t alignment;
    /** 1 if create_only and if_match are honoured atomically. */
    uint32_t conditional_put;
    /** 1 if content type and user metadata are kept. */
    uint32_t metadata;
    /**
     * 1 if keys may be any text; 0 if some are refused: files and services that keep keys as paths
     * (option s3.literal_keys) have no empty, . or .. segments, Azure has no segments that end in a dot,
     * backslashes or control characters.
     */
    uint32_t literal_keys;
    /** 1 if I/O happens on the calling thread. */
    uint32_t blocking_io;
} s3dlio_capabilities;

/**
 * Opens the store at a root URI. Does no I/O: a missing bucket or wrong credentials show at the
 * first operation. `options` may be NULL; they are copied. The caller frees the store.
 * Errors: INVALID_ARGUMENT, BAD_HANDLE, INVALID_URI, INVALID_OPTION (from the environment),
 * UNSUPPORTED, UNAUTHENTICATED (malformed credentials).
 * Since: 0.1
 */
int32_t s3dlio_store_open(const char *uri,
                          const s3dlio_options *options,
                          s3dlio_store **store,
                          s3dlio_error **err);

/**
 * The root URI, which lives as long as the handle; NULL for NULL and stale handles.
 * Since: 0.1
 */
const char *s3dlio_store_uri(const s3dlio_store *store);

/**
 * What the store can do and wants.
 * Errors: INVALID_ARGUMENT, BAD_HANDLE.
 * Since: 0.1
 */
int32_t s3dlio_store_capabilities(const s3dlio_store *store,
                                  s3dlio_capabilities *capabilities,
                                  size_t capabilities_size,
                                  s3dlio_error **err);

/**
 * Stores `length` bytes as the object `key`, whole or not at all. Large objects go in parallel
 * parts. The data is read in place and not used after the call. `options` (all defaults) and
 * `stats` may be NULL.
 * Errors: ALREADY_EXISTS, PRECONDITION_FAILED, NO_SPACE, UNSUPPORTED (a condition that the service
 * does not honour), CHECKSUM_MISMATCH, UNKNOWN_OUTCOME.
 * Since: 0.1
 */
int32_t s3dlio_store_put(const s3dlio_store *store,
                         const char *key,
                         const void *data,
                         size_t length,
                         const s3dlio_put_options *options,
                         size_t options_size,
                         s3dlio_write_stats *stats,
                         size_t stats_size,
                         s3dlio_error **err);

/**
 * The object's facts. `strings` gets a buffer that owns the texts of `info` (its own contents are
 * not for use): free it when the texts are no longer needed. Where `strings` is NULL, the texts are
 * NULL and metadata_count is 0.
 * Errors: NOT_FOUND.
 * Since: 0.1
 */
int32_t s3dlio_store_stat(const s3dlio_store *store,
                          const char *key,
                          s3dlio_object_info *info,
                          size_t info_size,
                          s3dlio_buffer **strings,
                          s3dlio_error **err);

/**
 * Whether there is an object of this key: 1 or 0. A failure is an error, never 0.
 * Since: 0.1
 */
int32_t s3dlio_store_exists(const s3dlio_store *store, const char *key, int32_t *exists, s3dlio_error **err);

/**
 * Deletes one object. A missing one is success: the state asked for is there.
 * Since: 0.1
 */
int32_t s3dlio_store_delete(const s3dlio_store *store, const char *key, s3dlio_error **err);

/**
 * Deletes every object below a folder: "run1" means "run1/" and never takes "run10"; "" means
 * everything below the root. `deleted`, which may be NULL, gets how many were deleted. Where some
 * could not be, the call fails after having tried all.
 * Since: 0.1
 */
int32_t s3dlio_store_delete_prefix(const s3dlio_store *store,
                                   const char *prefix,
                                   uint64_t *deleted,
                                   s3dlio_error **err);

/**
 * Copies an object with content type and metadata inside the store; its bytes do not pass through
 * this process where the service can copy. The destination is replaced.
 * Errors: NOT_FOUND (the source), NO_SPACE, CHANGED (the source), UNKNOWN_OUTCOME.
 * Since: 0.1
 */
int32_t s3dlio_store_copy(const s3dlio_store *store, const char *from, const char *to, s3dlio_error **err);

/**
 * Moves an object. Atomic on file and direct; elsewhere a copy and then a delete. The destination
 * is replaced. A source that is replaced meanwhile stays, beside the copy of what it was: CHANGED.
 * (On S3 services without If-Match for deletes, a write to the source in the moment before its delete
 * is lost.)
 * Errors: NOT_FOUND (the source), NO_SPACE, CHANGED, UNKNOWN_OUTCOME.
 * Since: 0.1
 */
int32_t s3dlio_store_rename(const s3dlio_store *store, const char *from, const char *to, s3dlio_error **err);

/**
 * Creates the root's bucket, container or folder. (file, direct and memory do so by themselves at
 * the first write.)
 * Errors: ALREADY_EXISTS.
 * Since: 0.1
 */
int32_t s3dlio_store_create_container(const s3dlio_store *store, s3dlio_error **err);

/**
 * Deletes the root's bucket, container or folder, which must be empty.
 * Errors: NOT_EMPTY.
 * Since: 0.1
 */
int32_t s3dlio_store_delete_container(const s3dlio_store *store, s3dlio_error **err);

/**
 * Lists the objects whose key starts with the text `prefix` ("" lists all), in the order of the
 * keys' UTF-8 bytes. With `recursive` 0 one level only: keys with a further slash after the prefix
 * are folded into common prefixes. Does no I/O. The caller frees the lister.
 * Errors: INVALID_ARGUMENT (also where recursive is not 0 or 1), BAD_HANDLE.
 * Since: 0.1
 */
int32_t s3dlio_store_list(const s3dlio_store *store,
                          const char *prefix,
                          int32_t recursive,
                          s3dlio_lister **lister,
                          s3dlio_error **err);

/**
 * Lists the buckets or containers of the store's account; for file and direct the folders beside
 * the root, for memory all names. The caller frees the lister.
 * Since: 0.1
 */
int32_t s3dlio_store_list_containers(const s3dlio_store *store, s3dlio_lister **lister, s3dlio_error **err);

/**
 * Frees the store. Listers, readers and writers of it live on. NULL and stale handles are ignored.
 * Since: 0.1
 */
void s3dlio_store_free(s3dlio_store *store);

/*
 * ==================================================================================================
 * Reading whole objects and ranges
 *
 * Reads either fill the caller's memory or give a buffer of the library's, which the caller frees.
 * Large ones are split into parallel ranges of one version of the object: an object that is
 * replaced meanwhile is CHANGED, never a mixture. A range that starts at the object's end has 0
 * bytes; one that starts past it is RANGE; one that ends past it is cut. What is stored is what is
 * read: only a reader decompresses.
 *
 * Beside the errors named at the stores: NOT_FOUND, RANGE, CHANGED, TRUNCATED, OUT_OF_MEMORY. After
 * an error the contents of the destination are unspecified.
 */

/**
 * Reads a whole object.
 * Since: 0.1
 */
int32_t s3dlio_store_get(const s3dlio_store *store,
                         const char *key,
                         s3dlio_buffer **data,
                         s3dlio_error **err);

/**
 * Reads `length` bytes from `offset`, fewer only at the object's end; S3DLIO_TO_END reads up to the
 * end.
 * Errors: RANGE (also where offset + length is more than 64 bits, S3DLIO_TO_END aside).
 * Since: 0.1
 */
int32_t s3dlio_store_get_range(const s3dlio_store *store,
                               const char *key,
                               uint64_t offset,
                               uint64_t length,
                               s3dlio_buffer **data,
                               s3dlio_error **err);

/**
 * Reads a whole object into `dst`, which has room for `capacity` bytes.
 * Errors: BUFFER_TOO_SMALL (the error's detail `required` is the size in bytes).
 * Since: 0.1
 */
int32_t s3dlio_store_get_into(const s3dlio_store *store,
                              const char *key,
                              void *dst,
                              size_t capacity,
                              size_t *bytes_read,
                              s3dlio_error **err);

/**
 * Reads `length` bytes from `offset` into `dst`, fewer only at the object's end.
 * Since: 0.1
 */
int32_t s3dlio_store_get_range_into(const s3dlio_store *store,
                                    const char *key,
                                    uint64_t offset,
                                    void *dst,
                                    size_t length,
                                    size_t *bytes_read,
                                    s3dlio_error **err);

/**
 * Reads many ranges of one object, each into its own memory, in one call; sets bytes_read of each.
 * Errors: INVALID_ARGUMENT (also where two destinations overlap).
 * Since: 0.1
 */
int32_t s3dlio_store_get_ranges(const s3dlio_store *store,
                                const char *key,
                                s3dlio_range *ranges,
                                size_t count,
                                s3dlio_error **err);

/**
 * Reads an object, or `length` bytes of it from `offset` (S3DLIO_TO_END: up to the end), and compares
 * the CRC32C of the stored bytes with `*crc32c`; where that is NULL, with the checksum that the
 * store recorded (whole objects only).
 * Errors: CHECKSUM_MISMATCH (details: expected, actual, offset), UNSUPPORTED (no checksum is
 * recorded).
 * Since: 0.1
 */
int32_t s3dlio_store_validate(const s3dlio_store *store,
                              const char *key,
                              uint64_t offset,
                              uint64_t length,
                              const uint32_t *crc32c,
                              s3dlio_error **err);

/*
 * ==================================================================================================
 * Many objects in one call
 *
 * `transfer.get_many_concurrency` (`transfer.put_many_concurrency`) of them are in flight at once. Each
 * has an outcome of its own, in the order given: one that fails does not stop the others. The call's
 * own status and error are those of the first that failed, with the detail `index`.
 *
 * Beside the errors named at the stores: those of the call for one object.
 */

/** One outcome of s3dlio_store_get_many. This struct never grows. */
typedef struct s3dlio_get_result {
    /** The object's bytes, or NULL. The caller frees it. */
    s3dlio_buffer *data;
    /** The error, or NULL. The caller frees it. */
    s3dlio_error *error;
    /** S3DLIO_OK or the error's code. */
    int32_t status;
    /** 0. */
    uint32_t reserved;
} s3dlio_get_result;

/** One object of s3dlio_store_put_many. This struct never grows. */
typedef struct s3dlio_put_item {
    /** In: the object. */
    const char *key;
    /** In: its bytes; may be NULL where length is 0. */
    const void *data;
    /** In: how many. */
    size_t length;
    /** Out: S3DLIO_OK or the error's code. */
    int32_t status;
    /** Out: CRC32C of the bytes, where they were stored. */
    uint32_t crc32c;
    /** Out: the error, or NULL. The caller frees it. */
    s3dlio_error *error;
} s3dlio_put_item;

/** One check of s3dlio_store_validate_many. This struct never grows. */
typedef struct s3dlio_check {
    /** In: the object. */
    const char *key;
    /** In: the first byte. */
    uint64_t offset;
    /** In: how many bytes; S3DLIO_TO_END: up to the end. */
    uint64_t length;
    /** In: 1: compare with crc32c; 0: with the checksum that the store recorded of the whole object. */
    uint32_t has_crc32c;
    /** In: what the stored bytes of the range must have. */
    uint32_t crc32c;
    /** Out: S3DLIO_OK or the error's code. */
    int32_t status;
    /** 0. */
    uint32_t reserved;
    /** Out: the error, or NULL. The caller frees it. */
    s3dlio_error *error;
} s3dlio_check;

/**
 * Reads many whole objects at once. `results` has room for `count` results, in the order of the
 * keys, and is always filled, also on failure, if it is not NULL: the caller frees what is not
 * NULL in it. Returns S3DLIO_OK if all were read, else the first failure.
 * Since: 0.1
 */
int32_t s3dlio_store_get_many(const s3dlio_store *store,
                              const char *const *keys,
                              size_t count,
                              s3dlio_get_result *results,
                              s3dlio_error **err);

/**
 * Stores many objects at once, each as s3dlio_store_put does, with the same options (NULL: all defaults).
 * The data is read in place and not used after the call. Sets status, crc32c and error of every item,
 * also on failure, if `items` is not NULL. Returns S3DLIO_OK if all were stored, else the first failure;
 * the others are stored or not by themselves.
 * Since: 0.1
 */
int32_t s3dlio_store_put_many(const s3dlio_store *store,
                              s3dlio_put_item *items,
                              size_t count,
                              const s3dlio_put_options *options,
                              size_t options_size,
                              s3dlio_error **err);

/**
 * Makes many checks at once, as s3dlio_store_validate does each. Sets status and error of every
 * check, also on failure, if `checks` is not NULL. Returns S3DLIO_OK if all are right, else the
 * first failure.
 * Since: 0.1
 */
int32_t s3dlio_store_validate_many(const s3dlio_store *store,
                                   s3dlio_check *checks,
                                   size_t count,
                                   s3dlio_error **err);

/*
 * ==================================================================================================
 * Listers
 *
 * A lister gives one entry after the other and fetches pages as it goes. Any thread, one at a
 * time. After fork() an inherited one is FORKED.
 */

/**
 * The next entry: S3DLIO_OK and the entry in `info`, or S3DLIO_END. The entry's texts live until the
 * next call on this lister or its free. Listings know key, URI, size, last modification and mostly
 * the ETag; content type and metadata only s3dlio_store_stat knows.
 * Errors: as stores; INVALID_STATE (another thread is inside), FORKED, SHUTDOWN.
 * Since: 0.1
 */
int32_t s3dlio_lister_next(s3dlio_lister *lister,
                           s3dlio_object_info *info,
                           size_t info_size,
                           s3dlio_error **err);

/**
 * Frees the lister. NULL and stale handles are ignored.
 * Since: 0.1
 */
void s3dlio_lister_free(s3dlio_lister *lister);

/*
 * ==================================================================================================
 * Readers
 *
 * A reader is one object, pinned to the version (ETag) it had when it was opened: if the object is
 * replaced, reads fail with CHANGED. There are two ways to read, which do not disturb each other: by
 * position (read_at, readv_at: any thread, concurrently) and in sequence (read, seek,
 * expect_crc32c: one at a time), which fetches ahead.
 *
 * An object whose key ends in .zst is decompressed as it is read in sequence (option
 * reader.decompress); by position it cannot be read then (UNSUPPORTED). Errors are those of stores
 * and gets, and FORKED for a reader that was inherited through fork(), SHUTDOWN, INVALID_STATE,
 * CORRUPT and TRUNCATED (broken .zst), CHECKSUM_MISMATCH.
 */

/**
 * Opens an object for reading. `options` may be NULL; what is set in them goes over the store's.
 * The caller frees the reader.
 * Errors: NOT_FOUND.
 * Since: 0.1
 */
int32_t s3dlio_reader_open(const s3dlio_store *store,
                           const char *key,
                           const s3dlio_options *options,
                           s3dlio_reader **reader,
                           s3dlio_error **err);

/**
 * The object's size in bytes, as its reader gives it: plain bytes.
 * Errors: UNSUPPORTED (a .zst object that does not tell), INVALID_ARGUMENT, BAD_HANDLE, FORKED,
 * SHUTDOWN.
 * Since: 0.1
 */
int32_t s3dlio_reader_size(const s3dlio_reader *reader, uint64_t *size, s3dlio_error **err);

/**
 * The object's facts as they were when it was opened. The texts live as long as the reader.
 * Errors: INVALID_ARGUMENT, BAD_HANDLE, FORKED, SHUTDOWN.
 * Since: 0.1
 */
int32_t s3dlio_reader_info(const s3dlio_reader *reader,
                           s3dlio_object_info *info,
                           size_t info_size,
                           s3dlio_error **err);

/**
 * Reads `length` bytes from `offset` into `dst`, fewer only at the object's end. The position of
 * s3dlio_reader_read does not move.
 * Errors: RANGE (offset is past the end), CHANGED, UNSUPPORTED (decompressing).
 * Since: 0.1
 */
int32_t s3dlio_reader_read_at(const s3dlio_reader *reader,
                              uint64_t offset,
                              void *dst,
                              size_t length,
                              size_t *bytes_read,
                              s3dlio_error **err);

/**
 * Reads many ranges, each into its own memory, in one call; sets bytes_read of each.
 * Errors: as s3dlio_reader_read_at; INVALID_ARGUMENT (also where two destinations overlap).
 * Since: 0.1
 */
int32_t s3dlio_reader_readv_at(const s3dlio_reader *reader,
                               s3dlio_range *ranges,
                               size_t count,
                               s3dlio_error **err);

/**
 * Reads up to `length` bytes from the position and moves it. Gives at least 1 byte, or
 * S3DLIO_END with 0 bytes at the end. With length 0 it gives S3DLIO_OK and 0 bytes.
 * Errors: CHANGED, CORRUPT, TRUNCATED, CHECKSUM_MISMATCH (s3dlio_reader_expect_crc32c).
 * Since: 0.1
 */
int32_t s3dlio_reader_read(s3dlio_reader *reader,
                           void *dst,
                           size_t length,
                           size_t *bytes_read,
                           s3dlio_error **err);

/**
 * Moves the position of s3dlio_reader_read: `offset` bytes from `whence`, S3DLIO_SEEK_SET, _CUR or
 * _END. `position`, which may be NULL, gets the new one. A position past the end is allowed and
 * reads S3DLIO_END.
 * Errors: INVALID_ARGUMENT (before the start, unknown whence), UNSUPPORTED (decompressing, except
 * back to the start).
 * Since: 0.1
 */
int32_t s3dlio_reader_seek(s3dlio_reader *reader,
                           int64_t offset,
                           int32_t whence,
                           uint64_t *position,
                           s3dlio_error **err);

/**
 * Demands that the object's plain bytes have this CRC32C. It is checked when a sequential read from
 * the start, without seeks, reaches the end: the read that would give the end fails with
 * CHECKSUM_MISMATCH (details: expected, actual). To be called before the first read.
 * Errors: INVALID_STATE (something was read already).
 * Since: 0.1
 */
int32_t s3dlio_reader_expect_crc32c(s3dlio_reader *reader, uint32_t crc32c, s3dlio_error **err);

/**
 * Frees the reader. Calls on it that are under way on other threads end normally. NULL and stale
 * handles are ignored.
 * Since: 0.1
 */
void s3dlio_reader_free(s3dlio_reader *reader);

/*
 * ==================================================================================================
 * Writers
 *
 * A writer streams one object of any size in constant memory: parts upload in the background while
 * more is written. Nothing is visible under the key before s3dlio_writer_finish succeeded; abort, or
 * free without finish, leaves nothing behind. The first error stays: every later write and finish
 * returns it. Any thread, one at a time.
 *
 * Option writer.compression=zstd compresses and appends .zst to the key. Memory: one part more than
 * transfer.parts_in_flight, of transfer.part_size each. Errors are those of stores, and FORKED for a writer
 * that was inherited through fork() (the parent's goes on), SHUTDOWN, INVALID_STATE (after finish or
 * abort, or another thread is inside), NO_SPACE, CHECKSUM_MISMATCH.
 */

/**
 * Opens a writer for the object `key`. `options` may be NULL; what is set in them goes over the
 * store's. `put_options` may be NULL: all defaults. The caller frees the writer.
 * Errors: ALREADY_EXISTS, PRECONDITION_FAILED (here or at finish), UNSUPPORTED.
 * Since: 0.1
 */
int32_t s3dlio_writer_open(const s3dlio_store *store,
                           const char *key,
                           const s3dlio_options *options,
                           const s3dlio_put_options *put_options,
                           size_t put_options_size,
                           s3dlio_writer **writer,
                           s3dlio_error **err);

/**
 * The object's key, with .zst if it is compressed; it lives as long as the handle. NULL for NULL
 * and stale handles.
 * Since: 0.1
 */
const char *s3dlio_writer_key(const s3dlio_writer *writer);

/**
 * Appends `length` bytes, which are copied. Waits while all parts in flight are busy.
 * Since: 0.1
 */
int32_t s3dlio_writer_write(s3dlio_writer *writer, const void *data, size_t length, s3dlio_error **err);

/**
 * Appends a whole buffer without copying it. On success the writer has taken the handle over: it is
 * not to be used or freed any more, and clones of it are not to be written to. On failure it stays
 * the caller's.
 * Since: 0.1
 */
int32_t s3dlio_writer_write_buffer(s3dlio_writer *writer, s3dlio_buffer *buffer, s3dlio_error **err);

/**
 * Gives memory of at least `min_size` bytes to fill in place: `*data` with room for `*capacity`. It
 * is the writer's, and valid until the next call on the writer; s3dlio_writer_commit appends what
 * was filled. A reservation without a commit is forgotten.
 * Errors: INVALID_ARGUMENT (min_size is 0 or more than memory can be), OUT_OF_MEMORY.
 * Since: 0.1
 */
int32_t s3dlio_writer_reserve(s3dlio_writer *writer,
                              size_t min_size,
                              void **data,
                              size_t *capacity,
                              s3dlio_error **err);

/**
 * Appends the first `length` bytes of the reserved memory without copying them.
 * Errors: INVALID_STATE (nothing is reserved), INVALID_ARGUMENT (more than was reserved).
 * Since: 0.1
 */
int32_t s3dlio_writer_commit(s3dlio_writer *writer, size_t length, s3dlio_error **err);

/**
 * Stores what is left and publishes the object. `stats` may be NULL. After a failure nothing is
 * published, unless the code is UNKNOWN_OUTCOME (such as a cloud store's last answer lost: look),
 * or CHECKSUM_MISMATCH from a service that says it stored other bytes than were sent. The handle still has to be freed.
 * Errors: ALREADY_EXISTS, PRECONDITION_FAILED, UNKNOWN_OUTCOME, INVALID_STATE (finished or aborted
 * before).
 * Since: 0.1
 */
int32_t s3dlio_writer_finish(s3dlio_writer *writer,
                             s3dlio_write_stats *stats,
                             size_t stats_size,
                             s3dlio_error **err);

/**
 * Removes everything that was stored and waits for that; nothing is published. Again is success.
 * Errors: INVALID_STATE (finished before).
 * Since: 0.1
 */
int32_t s3dlio_writer_abort(s3dlio_writer *writer, s3dlio_error **err);

/**
 * What was written so far; also after finish, abort and failures.
 * Errors: INVALID_ARGUMENT, BAD_HANDLE, INVALID_STATE (another thread is inside), FORKED, SHUTDOWN.
 * Since: 0.1
 */
int32_t s3dlio_writer_get_stats(const s3dlio_writer *writer,
                                s3dlio_write_stats *stats,
                                size_t stats_size,
                                s3dlio_error **err);

/**
 * Frees the writer. Without finish this is abort: what was stored is removed in the background
 * (s3dlio_shutdown waits for it). NULL and stale handles are ignored.
 * Since: 0.1
 */
void s3dlio_writer_free(s3dlio_writer *writer);

/*
 * ==================================================================================================
 * One-shot functions
 *
 * For single objects by their full URI. The stores behind them are kept and reused, told apart by
 * container and by the options that are set; the environment is read when one is first opened. Any
 * thread, concurrently. Errors: as the function of the store, and INVALID_URI.
 */

/**
 * Reads a whole object. `options` may be NULL. The caller frees `data`.
 * Since: 0.1
 */
int32_t s3dlio_get(const char *uri, const s3dlio_options *options, s3dlio_buffer **data, s3dlio_error **err);

/**
 * Stores an object, whole or not at all. `options` may be NULL.
 * Since: 0.1
 */
int32_t s3dlio_put(const char *uri,
                   const s3dlio_options *options,
                   const void *data,
                   size_t length,
                   s3dlio_error **err);

/**
 * An object's facts; `strings` as for s3dlio_store_stat. `options` may be NULL. The key in `info` is
 * relative to the container, for paths to the root folder.
 * Since: 0.1
 */
int32_t s3dlio_stat(const char *uri,
                    const s3dlio_options *options,
                    s3dlio_object_info *info,
                    size_t info_size,
                    s3dlio_buffer **strings,
                    s3dlio_error **err);

/**
 * Whether there is an object: 1 or 0. A failure is an error, never 0. `options` may be NULL.
 * Since: 0.1
 */
int32_t s3dlio_exists(const char *uri, const s3dlio_options *options, int32_t *exists, s3dlio_error **err);

/**
 * Deletes an object. A missing one is success. `options` may be NULL.
 * Since: 0.1
 */
int32_t s3dlio_delete(const char *uri, const s3dlio_options *options, s3dlio_error **err);

/*
 * ==================================================================================================
 * Queues
 *
 * A queue takes the place of waiting: the _submit functions start an operation and return at once,
 * and its outcome comes as an event of the queue, under the token that the caller chose. The descriptor
 * of a queue is readable exactly while there are events, so that epoll, poll, select, asyncio or
 * libuv can wait for it. Any thread, concurrently: one queue for a program, a thread or an event loop.
 *
 * - A submit that returned S3DLIO_OK gives exactly one event: on success, on error, when it was
 *   cancelled (CANCELLED), when s3dlio_shutdown ended it (SHUTDOWN). A submit that failed gives none.
 * - Memory that was passed to a submit is the library's until its event is taken. Texts and structs
 *   (keys, put options) are copied: they are the caller's again when the submit returns.
 * - Handles may be freed while operations on them are under way. A reader's sequential read, a lister
 *   and a writer have one operation at a time; another one before its event is INVALID_STATE.
 * - Of each queue up to 256 network operations, and 4 per processor (8 to 32) on local files and memory,
 *   run at once; the others wait for their turn. Events come in the order in which operations end.
 * - In a forked child the queue is FORKED. After s3dlio_shutdown it can be used as before.
 *
 * Freeing a queue cancels what is under way, and then nobody can tell when the memory is free. So end
 * with s3dlio_queue_close, take events until S3DLIO_END, and free it then.
 */

/** The end of one operation. The caller frees data, error, reader and batch where they are not NULL. */
typedef struct s3dlio_event {
    /** As it was given to the submit. */
    uint64_t token;
    /** What the blocking function would have returned: S3DLIO_OK, S3DLIO_END or an error's code. */
    int32_t status;
    /** 0. */
    uint32_t reserved;
    /** Bytes read or written. */
    uint64_t bytes;
    /**
     * The bytes of a get. Where infos or written are set: the owner of what they point to, without
     * contents of its own. Else NULL.
     */
    s3dlio_buffer *data;
    /** What went wrong, or NULL. */
    s3dlio_error *error;
    /** The reader that was opened, or NULL. */
    s3dlio_reader *reader;
    /** A stat's or a listing's facts: info_count pointers, which live as long as data. */
    const s3dlio_object_info *const *infos;
    /** How many infos there are. */
    size_t info_count;
    /** What a put or a writer's finish has written; lives as long as data. */
    const s3dlio_write_stats *written;
    /** The batch that a loader gave, or NULL. */
    s3dlio_batch *batch;
} s3dlio_event;

/**
 * Makes a queue. The caller frees it.
 * Errors: INVALID_ARGUMENT, IO (no more descriptors), OUT_OF_MEMORY.
 * Since: 0.1
 */
int32_t s3dlio_queue_new(s3dlio_queue **queue, s3dlio_error **err);

/**
 * The descriptor that is readable exactly while there are events. It is the queue's: wait for it, but
 * do not read, write or close it. It does not pass through exec().
 * Errors: INVALID_ARGUMENT, BAD_HANDLE, FORKED.
 * Since: 0.1
 */
int32_t s3dlio_queue_fd(const s3dlio_queue *queue, int32_t *fd, s3dlio_error **err);

/**
 * Takes the next event: S3DLIO_OK and the event; S3DLIO_TIMEOUT where none came within `timeout_ms`
 * milliseconds (0: do not wait; negative: wait for ever); S3DLIO_END where none will come, because the
 * queue is closed and all were taken. An operation's failure is in the event, not here.
 * Errors: INVALID_ARGUMENT, BAD_HANDLE, FORKED, WOULD_DEADLOCK (only where it would wait).
 * Since: 0.1
 */
int32_t s3dlio_queue_next(const s3dlio_queue *queue,
                          int64_t timeout_ms,
                          s3dlio_event *event,
                          size_t event_size,
                          s3dlio_error **err);

/**
 * Ends the queue: submits are INVALID_STATE from now on. With `cancel` 1 the operations under way are
 * cancelled too. Their events still come, and after the last one S3DLIO_END. Again is success.
 * Errors: INVALID_ARGUMENT (also where cancel is not 0 or 1), BAD_HANDLE, FORKED.
 * Since: 0.1
 */
int32_t s3dlio_queue_close(s3dlio_queue *queue, int32_t cancel, s3dlio_error **err);

/**
 * Frees the queue with the events that nobody took. Operations under way are cancelled; the memory
 * that was passed to them is to stay until s3dlio_shutdown returned S3DLIO_OK, so rather close the
 * queue and take its events before. NULL and stale handles are ignored.
 * Since: 0.1
 */
void s3dlio_queue_free(s3dlio_queue *queue);

/**
 * Asks the operation to end soon. Its event comes as ever: CANCELLED, or its outcome where it was
 * faster. A cancelled put, delete or finish may have taken effect; a writer whose write was cancelled
 * can only be aborted or freed. Again, and after the end, is success.
 * Errors: INVALID_ARGUMENT, BAD_HANDLE, FORKED.
 * Since: 0.1
 */
int32_t s3dlio_op_cancel(const s3dlio_op *op, s3dlio_error **err);

/**
 * How far the operation is: bytes moved so far, counted as requests end, and how many there will be
 * at most (UINT64_MAX where that is not known before). Either pointer may be NULL.
 * Errors: INVALID_ARGUMENT, BAD_HANDLE, FORKED.
 * Since: 0.1
 */
int32_t s3dlio_op_progress(const s3dlio_op *op, uint64_t *done, uint64_t *total, s3dlio_error **err);

/**
 * Frees the op; the operation goes on, and its event comes. NULL and stale handles are ignored.
 * Since: 0.1
 */
void s3dlio_op_free(s3dlio_op *op);

/*
 * ==================================================================================================
 * Submitting operations
 *
 * Each takes what the blocking function of the same name takes, then the queue, the token of the
 * event, and `op`: NULL, or where a handle goes to cancel the operation and ask how far it is, which
 * the caller frees. None of them blocks or does I/O. What is wrong with the arguments is returned at
 * once, and then there is no event: INVALID_ARGUMENT, BAD_HANDLE, INVALID_STATE (the queue is closed; a
 * reader, lister or writer is busy), FORKED, SHUTDOWN (during s3dlio_shutdown), OUT_OF_MEMORY. What
 * goes wrong later is in the event, with the codes of the blocking function.
 */

/**
 * Starts reading a whole object; the event has it in data.
 * Since: 0.1
 */
int32_t s3dlio_store_get_submit(const s3dlio_store *store,
                                const char *key,
                                const s3dlio_queue *queue,
                                uint64_t token,
                                s3dlio_op **op,
                                s3dlio_error **err);

/**
 * Starts reading `length` bytes from `offset`, as s3dlio_store_get_range; the event has them in data.
 * Since: 0.1
 */
int32_t s3dlio_store_get_range_submit(const s3dlio_store *store,
                                      const char *key,
                                      uint64_t offset,
                                      uint64_t length,
                                      const s3dlio_queue *queue,
                                      uint64_t token,
                                      s3dlio_op **op,
                                      s3dlio_error **err);

/**
 * Starts reading a whole object into `dst`, which has room for `capacity` bytes and is the library's
 * until the event is taken; the event has the object's size in bytes.
 * Since: 0.1
 */
int32_t s3dlio_store_get_into_submit(const s3dlio_store *store,
                                     const char *key,
                                     void *dst,
                                     size_t capacity,
                                     const s3dlio_queue *queue,
                                     uint64_t token,
                                     s3dlio_op **op,
                                     s3dlio_error **err);

/**
 * Starts reading `length` bytes from `offset` into `dst`, which is the library's until the event is
 * taken; the event says how many bytes came, fewer only at the object's end.
 * Since: 0.1
 */
int32_t s3dlio_store_get_range_into_submit(const s3dlio_store *store,
                                           const char *key,
                                           uint64_t offset,
                                           void *dst,
                                           size_t length,
                                           const s3dlio_queue *queue,
                                           uint64_t token,
                                           s3dlio_op **op,
                                           s3dlio_error **err);

/**
 * Starts storing `length` bytes as the object `key`. `data` is the library's, and not to be changed,
 * until the event is taken. `options` may be NULL. The event has what was written.
 * Since: 0.1
 */
int32_t s3dlio_store_put_submit(const s3dlio_store *store,
                                const char *key,
                                const void *data,
                                size_t length,
                                const s3dlio_put_options *options,
                                size_t options_size,
                                const s3dlio_queue *queue,
                                uint64_t token,
                                s3dlio_op **op,
                                s3dlio_error **err);

/**
 * Starts asking for an object's facts; the event has them as its one info, with all texts.
 * Since: 0.1
 */
int32_t s3dlio_store_stat_submit(const s3dlio_store *store,
                                 const char *key,
                                 const s3dlio_queue *queue,
                                 uint64_t token,
                                 s3dlio_op **op,
                                 s3dlio_error **err);

/**
 * Starts deleting one object. A missing one is success.
 * Since: 0.1
 */
int32_t s3dlio_store_delete_submit(const s3dlio_store *store,
                                   const char *key,
                                   const s3dlio_queue *queue,
                                   uint64_t token,
                                   s3dlio_op **op,
                                   s3dlio_error **err);

/**
 * Starts fetching the next entries of a listing, as many as come in one answer: the event has at
 * least one info, or the status S3DLIO_END. s3dlio_lister_next goes on after them.
 * Since: 0.1
 */
int32_t s3dlio_lister_page_submit(s3dlio_lister *lister,
                                  const s3dlio_queue *queue,
                                  uint64_t token,
                                  s3dlio_op **op,
                                  s3dlio_error **err);

/**
 * Starts opening an object for reading; the event has the reader. `options` may be NULL; they are
 * copied.
 * Since: 0.1
 */
int32_t s3dlio_reader_open_submit(const s3dlio_store *store,
                                  const char *key,
                                  const s3dlio_options *options,
                                  const s3dlio_queue *queue,
                                  uint64_t token,
                                  s3dlio_op **op,
                                  s3dlio_error **err);

/**
 * Starts reading `length` bytes from `offset` into `dst`, which is the library's until the event is
 * taken; the event says how many bytes came, fewer only at the object's end. Many may be under way on
 * one reader.
 * Since: 0.1
 */
int32_t s3dlio_reader_read_at_submit(const s3dlio_reader *reader,
                                     uint64_t offset,
                                     void *dst,
                                     size_t length,
                                     const s3dlio_queue *queue,
                                     uint64_t token,
                                     s3dlio_op **op,
                                     s3dlio_error **err);

/**
 * Starts reading up to `length` bytes from the position into `dst`, which is the library's until the
 * event is taken. The event has the bytes that came, at least 1, or S3DLIO_END at the end; with
 * length 0 it is S3DLIO_OK. After a cancelled one the position is unspecified: seek.
 * Since: 0.1
 */
int32_t s3dlio_reader_read_submit(s3dlio_reader *reader,
                                  void *dst,
                                  size_t length,
                                  const s3dlio_queue *queue,
                                  uint64_t token,
                                  s3dlio_op **op,
                                  s3dlio_error **err);

/**
 * Starts appending `length` bytes. `data` is the library's, and not to be changed, until the event is
 * taken, which comes once the bytes are taken in, as s3dlio_writer_write returns.
 * Since: 0.1
 */
int32_t s3dlio_writer_write_submit(s3dlio_writer *writer,
                                   const void *data,
                                   size_t length,
                                   const s3dlio_queue *queue,
                                   uint64_t token,
                                   s3dlio_op **op,
                                   s3dlio_error **err);

/**
 * Starts publishing the object, as s3dlio_writer_finish; the event has what was written.
 * Since: 0.1
 */
int32_t s3dlio_writer_finish_submit(s3dlio_writer *writer,
                                    const s3dlio_queue *queue,
                                    uint64_t token,
                                    s3dlio_op **op,
                                    s3dlio_error **err);

/**
 * Starts removing everything that was stored, as s3dlio_writer_abort.
 * Since: 0.1
 */
int32_t s3dlio_writer_abort_submit(s3dlio_writer *writer,
                                   const s3dlio_queue *queue,
                                   uint64_t token,
                                   s3dlio_op **op,
                                   s3dlio_error **err);

/*
 * ==================================================================================================
 * Datasets
 *
 * A dataset is what there is to draw samples from: objects below a URI, a list of URIs, or the records
 * of files. It is immutable; any thread, concurrently, also in forked children. It holds no connection and
 * no listing, so it is small, unless it was indexed.
 *
 * - S3DLIO_FORMAT_OBJECTS: every object is an item.
 * - S3DLIO_FORMAT_TAR: tar files in WebDataset's convention, also .tar.zst: members of one base name are
 *   a sample, with a field for each extension.
 * - S3DLIO_FORMAT_TFRECORD: every record is an item; index files, where there are some, tell where.
 * - S3DLIO_FORMAT_NPZ: every member is an item, an NPY file.
 * - S3DLIO_FORMAT_FIXED: every record_size bytes are an item, after skip_bytes of each file.
 *
 * Where the number of items is known, because they were listed in a manifest, given one by one, or
 * indexed, a dataset can be shuffled as a whole and asked for any item; else it is drawn in sequence as
 * it is listed and read. URIs may be of different stores. `options` may be NULL; they are copied, and go to the stores
 * that are opened.
 *
 * Beside the errors that a function names, those of stores and gets, and CORRUPT, TRUNCATED and
 * CHECKSUM_MISMATCH for files of a format that break it.
 */

/** As a length: nobody knows it, the dataset is drawn in sequence. */
#define S3DLIO_UNKNOWN_LENGTH UINT64_MAX

/** Which objects, and what is in them. All zero, and NULL, are all objects. */
typedef struct s3dlio_dataset_params {
    /** S3DLIO_FORMAT_OBJECTS, _TAR, _TFRECORD, _NPZ or _FIXED. */
    int32_t format;
    /** 0. */
    uint32_t reserved;
    /**
     * Of a listing only the keys, relative to its URI, that match: * and ? within a folder, ** across
     * them, [a-z], {a,b}. NULL: all.
     */
    const char *glob;
    /** Of a listing only the keys, relative to its URI, in which this regular expression is found. NULL: all. */
    const char *regex;
    /** FIXED: the bytes of a record. */
    uint64_t record_size;
    /** FIXED: bytes before the first record of each file. */
    uint64_t skip_bytes;
    /** TFRECORD: what an index file's key has after that of its file, such as ".idx". NULL: there are none. */
    const char *index;
    /** NPZ: only members of this name. NULL: all. */
    const char *member;
} s3dlio_dataset_params;

/**
 * Opens what lies below `uri`, which ends in a slash or is read as if it did, or the one object that it
 * names. Objects are listed when they are drawn, not now. `params` may be NULL. The caller frees the dataset.
 * Errors: INVALID_ARGUMENT (also parameters that contradict each other), BAD_HANDLE, INVALID_URI,
 * UNSUPPORTED.
 * Since: 0.1
 */
int32_t s3dlio_dataset_open(const char *uri,
                            const s3dlio_dataset_params *params,
                            size_t params_size,
                            const s3dlio_options *options,
                            s3dlio_dataset **dataset,
                            s3dlio_error **err);

/**
 * Opens `count` objects by their URIs, in this order; schemes and buckets may differ.
 * Errors: as s3dlio_dataset_open; the error's detail `index` says which URI is wrong.
 * Since: 0.1
 */
int32_t s3dlio_dataset_open_uris(const char *const *uris,
                                 size_t count,
                                 const s3dlio_dataset_params *params,
                                 size_t params_size,
                                 const s3dlio_options *options,
                                 s3dlio_dataset **dataset,
                                 s3dlio_error **err);

/**
 * Opens the objects of a manifest: a local file of a line for each, the URI and, after tabs, size and ETag
 * where they are known. It is read by position, not loaded, and must not change while the dataset lives. An epoch
 * over a manifest lists nothing and asks for no sizes.
 * Errors: as s3dlio_dataset_open; NOT_FOUND, IO, CORRUPT (the error names the line).
 * Since: 0.1
 */
int32_t s3dlio_dataset_open_manifest(const char *path,
                                     const s3dlio_dataset_params *params,
                                     size_t params_size,
                                     const s3dlio_options *options,
                                     s3dlio_dataset **dataset,
                                     s3dlio_error **err);

/**
 * Lists what s3dlio_dataset_open would draw from, once, and writes it to the local file `path` as a
 * manifest, which is there whole or not at all. `count`, which may be NULL, gets the number of objects.
 * Errors: as s3dlio_dataset_open; IO, NO_SPACE, PERMISSION_DENIED.
 * Since: 0.1
 */
int32_t s3dlio_dataset_write_manifest(const char *uri,
                                      const s3dlio_dataset_params *params,
                                      size_t params_size,
                                      const s3dlio_options *options,
                                      const char *path,
                                      uint64_t *count,
                                      s3dlio_error **err);

/**
 * How many items there are; S3DLIO_UNKNOWN_LENGTH where that shows only when they are drawn.
 * Errors: INVALID_ARGUMENT, BAD_HANDLE.
 * Since: 0.1
 */
int32_t s3dlio_dataset_length(const s3dlio_dataset *dataset, uint64_t *length, s3dlio_error **err);

/**
 * The same items as a dataset of known length: lists and reads what that takes, and keeps it in memory.
 * Both are freed separately.
 * Errors: INVALID_ARGUMENT, BAD_HANDLE, UNSUPPORTED (the format's files can only be read in sequence).
 * Since: 0.1
 */
int32_t s3dlio_dataset_index(const s3dlio_dataset *dataset, s3dlio_dataset **indexed, s3dlio_error **err);

/**
 * Reads `count` items of a dataset of known length by their numbers; the batch has them in this order.
 * Errors: INVALID_ARGUMENT (also a number that is not less than the length), BAD_HANDLE, INVALID_STATE (the
 * length is unknown: index the dataset), and what reading gives. The first of those that failed is the error; its detail
 * `index` is the item's number.
 * Since: 0.1
 */
int32_t s3dlio_dataset_get_many(const s3dlio_dataset *dataset,
                                const uint64_t *indices,
                                size_t count,
                                s3dlio_batch **batch,
                                s3dlio_error **err);

/**
 * Frees the dataset; its loaders go on. NULL and stale handles are ignored.
 * Since: 0.1
 */
void s3dlio_dataset_free(s3dlio_dataset *dataset);

/*
 * ==================================================================================================
 * Batches
 *
 * A batch is what a loader's next gives: samples with all their bytes, in memory of the library's.
 * Everything that it points to (samples, fields, texts, data) lives until the batch is freed, also after
 * its loader and dataset are. Any thread, concurrently, also in forked children. The data is not to be
 * changed. A batch keeps memory that its loader counts against its budget no more.
 */

/** One piece of a sample. This struct never grows. */
typedef struct s3dlio_field {
    /** "" where the sample has but one; in tar files what follows the sample's key, without the dot: "jpg". */
    const char *name;
    /** Never NULL, also where length is 0. Any alignment. */
    const void *data;
    /** In bytes. */
    size_t length;
} s3dlio_field;

/** One item with its bytes. This struct never grows. */
typedef struct s3dlio_sample {
    /** Of the object that the bytes are from. */
    const char *uri;
    /** The sample's key in a tar file, the member of an NPZ file, a record's number; "" for whole objects. */
    const char *name;
    /**
     * The item's number in the dataset's own order; of a file of records that is read in sequence the
     * record's number in its file.
     */
    uint64_t index;
    /** At least one. */
    const s3dlio_field *fields;
    /** How many. */
    size_t field_count;
    /** The first field's data: all there is, except in tar files. */
    const void *data;
    /** The first field's length. */
    size_t length;
} s3dlio_sample;

/**
 * How many samples there are; 0 for NULL and stale handles.
 * Since: 0.1
 */
size_t s3dlio_batch_count(const s3dlio_batch *batch);

/**
 * The samples, as many as s3dlio_batch_count says; NULL for NULL and stale handles.
 * Since: 0.1
 */
const s3dlio_sample *s3dlio_batch_samples(const s3dlio_batch *batch);

/**
 * Copies field number `field` of all samples to `dst`, one after the other without gaps. `offsets`,
 * which may be NULL, gets where each begins, and after them where the last one ends: count + 1 numbers.
 * Errors: INVALID_ARGUMENT (also where a sample has no such field), BAD_HANDLE, BUFFER_TOO_SMALL (the
 * error's detail `required` is the size in bytes; dst and offsets are as they were).
 * Since: 0.1
 */
int32_t s3dlio_batch_gather(const s3dlio_batch *batch,
                            size_t field,
                            void *dst,
                            size_t capacity,
                            uint64_t *offsets,
                            s3dlio_error **err);

/**
 * Frees the batch with all that it points to. NULL and stale handles are ignored.
 * Since: 0.1
 */
void s3dlio_batch_free(s3dlio_batch *batch);

/*
 * ==================================================================================================
 * Loaders
 *
 * A loader is one worker's pass over one epoch of a dataset: it gives batch after batch, and fetches
 * ahead meanwhile, within the bounds of the loader.* options. The order follows from dataset, seed and
 * epoch (option loader.shuffle) and is the same on every machine; the ranks and their workers share it out
 * without overlap. Any thread, one call at a time; another one meanwhile is INVALID_STATE. After fork() an
 * inherited one is FORKED: open another one there, of the same dataset.
 *
 * s3dlio_loader_state says what was given so far, as JSON to be stored with a checkpoint. A loader that
 * is opened with it goes on as if it had never stopped. What another number of ranks or workers is to go
 * on with is the states of all loaders of the old run: the rest is then dealt anew, every item once.
 *
 * Where an item cannot be read (option loader.on_error): raise, the default, makes it the error of a
 * next, which names its URI, and the next call goes on after it; skip and substitute leave it out, and
 * s3dlio_loader_stats counts it.
 *
 *     while ((status = s3dlio_loader_next(loader, &batch, &err)) == S3DLIO_OK) {
 *         const s3dlio_sample *samples = s3dlio_batch_samples(batch);
 *         for (size_t i = 0; i < s3dlio_batch_count(batch); i++) train(samples[i].data, samples[i].length);
 *         s3dlio_batch_free(batch);
 *     }
 *
 * Beside the errors that a function names, those of datasets, and FORKED and SHUTDOWN.
 */

/** Which part of an epoch is drawn, and how. All zero: the first epoch, alone, in batches of 1. */
typedef struct s3dlio_loader_params {
    /** Samples in a batch; the last one may have fewer (option loader.drop_last). 0 is 1. */
    uint64_t batch_size;
    /** Of the order; the same on every rank. */
    uint64_t seed;
    /** Other epochs have other orders. */
    uint64_t epoch;
    /** Of this process, from 0. */
    uint32_t rank;
    /** How many ranks; 0 is 1. */
    uint32_t world_size;
    /** Which of the loaders that share this rank, from 0. */
    uint32_t worker;
    /** How many of them; 0 is 1. */
    uint32_t workers;
    /**
     * To go on: what s3dlio_loader_state gave, of this shard, or of all shards of the old run in any
     * order, or one text that s3dlio_loader_merge_states made. Seed and epoch are then those of the states.
     */
    const char *const *states;
    /** How many; 0: the epoch begins. */
    size_t state_count;
} s3dlio_loader_params;

/** What a loader did, and what it has at hand. */
typedef struct s3dlio_loader_stats {
    /** Samples given. */
    uint64_t items;
    /** Their bytes. */
    uint64_t bytes;
    /** Batches given. */
    uint64_t batches;
    /** Items left out because they could not be read. */
    uint64_t skipped;
    /** Of them, those whose place another one took. */
    uint64_t substituted;
    /** How long calls of next waited, in nanoseconds: what the training loop lost to data. */
    uint64_t wait_ns;
    /** Requests under way. */
    uint64_t in_flight;
    /** Items that were fetched and not yet given. */
    uint64_t buffered_items;
    /** Their bytes. */
    uint64_t buffered_bytes;
    /** Objects listed so far. */
    uint64_t listed;
} s3dlio_loader_stats;

/**
 * Begins a pass over a dataset, or goes on with one. `params` and `options` may be NULL; the options
 * go over those of the environment. The caller frees the loader.
 * Errors: INVALID_ARGUMENT (also a full shuffle of a dataset of unknown length, a rank or worker that is
 * not less than their number, fewer files of records than shards, a state of another dataset or run, and
 * states of which one is missing), CORRUPT (a state is malformed), BAD_HANDLE, INVALID_OPTION.
 * Since: 0.1
 */
int32_t s3dlio_loader_open(const s3dlio_dataset *dataset,
                           const s3dlio_loader_params *params,
                           size_t params_size,
                           const s3dlio_options *options,
                           s3dlio_loader **loader,
                           s3dlio_error **err);

/**
 * The next batch: S3DLIO_OK and the batch, which the caller frees, or S3DLIO_END at the end of the
 * epoch. Blocks until all samples of the batch are there.
 * Errors: what reading an item gave (on_error raise; the next call goes on after it), TIMEOUT (option
 * loader.batch_timeout_ms; nothing is lost, call again).
 * Since: 0.1
 */
int32_t s3dlio_loader_next(s3dlio_loader *loader, s3dlio_batch **batch, s3dlio_error **err);

/**
 * Starts waiting for the next batch, as s3dlio_loader_next; the event has it in batch, or the status
 * S3DLIO_END. One at a time. A batch whose submit was cancelled was not given: the next one has it.
 * Errors: those of submits: INVALID_ARGUMENT, BAD_HANDLE, INVALID_STATE, FORKED, SHUTDOWN, OUT_OF_MEMORY.
 * Since: 0.1
 */
int32_t s3dlio_loader_next_submit(s3dlio_loader *loader,
                                  const s3dlio_queue *queue,
                                  uint64_t token,
                                  s3dlio_op **op,
                                  s3dlio_error **err);

/**
 * What was given so far, as JSON: store it, and open a loader with it. What was fetched ahead does not
 * count as given. The caller frees the buffer, which has a NUL after its bytes.
 * Since: 0.1
 */
int32_t s3dlio_loader_state(s3dlio_loader *loader, s3dlio_buffer **json, s3dlio_error **err);

/**
 * One state of the states of all shards of a run, in any order: for another number of ranks or workers,
 * each of which opens its loader with it. The caller frees the buffer, which has a NUL after its bytes.
 * Errors: INVALID_ARGUMENT (no states, one of another run, a shard that is missing or there twice), CORRUPT
 * (one that is malformed), OUT_OF_MEMORY.
 * Since: 0.1
 */
int32_t s3dlio_loader_merge_states(const char *const *states,
                                   size_t count,
                                   s3dlio_buffer **json,
                                   s3dlio_error **err);

/**
 * What the loader did so far.
 * Since: 0.1
 */
int32_t s3dlio_loader_get_stats(s3dlio_loader *loader,
                                s3dlio_loader_stats *stats,
                                size_t stats_size,
                                s3dlio_error **err);

/**
 * Ends the loader: cancels its requests and, unlike other frees, waits until its tasks have ended, which
 * takes milliseconds; where another call is under way, that one ends first and the tasks end with it.
 * Batches that were given stay. NULL and stale handles are ignored.
 * Since: 0.1
 */
void s3dlio_loader_free(s3dlio_loader *loader);

/*
 * ==================================================================================================
 * Synthetic data
 *
 * Bytes for benchmarks and tests: what storage can neither guess, deduplicate nor compress, or only as
 * far as was asked for. They are a function of seed, block size, ratios, object number and offset, and
 * of nothing else: any slice of any object can be made again, alone, on any machine, by any number of
 * threads. Objects of different numbers or seeds share no block, so ranks take different numbers.
 *
 * - dedupe d: of d blocks of block_size bytes in an object one is new, the others repeat earlier ones.
 *   Units of deduplication that divide block_size see the same ratio.
 * - compress c: zstd at level 1 makes 1 / c of the bytes. Where d is more than 1, it also finds the
 *   repetitions within its window, which is until some hundred blocks are known: measure with larger
 *   objects. The tail of each KiB is zero.
 *
 * Any thread, concurrently. Large memory is filled by many threads, which end with the call. The errors
 * are INVALID_ARGUMENT and OUT_OF_MEMORY.
 */

/** What the data is like. All zero are the defaults. */
typedef struct s3dlio_generate_params {
    /** Other seeds give other bytes. */
    uint64_t seed;
    /** Blocks for each one of different content, 1 to 1000; 0 is 1: none is repeated. */
    double dedupe;
    /** Bytes for each one that is left when compressed, 1 to 50; 0 is 1: incompressible. */
    double compress;
    /** The unit of deduplication in bytes: a multiple of 1024 up to 1 GiB; 0 is 4096. */
    uint64_t block_size;
    /** How many threads, the caller's among them; 0 is one for each processor. Small fills take one. */
    uint32_t threads;
    /** 0. */
    uint32_t reserved;
} s3dlio_generate_params;

/** A whole object in a format. All zero is refused: something has to say how large it is. */
typedef struct s3dlio_generate_object_params {
    /**
     * S3DLIO_FORMAT_OBJECTS, _RAW or _FIXED: records without anything between them; _TAR: a sample for each
     * record, 000000000.bin, 000000001.bin ...; _TFRECORD; _NPZ and _HDF5: one array.
     */
    int32_t format;
    /** How many numbers shape has. */
    uint32_t ndim;
    /**
     * Of an array, as for tensors; NULL is "U8". Types of 8-bit floats and BF16 are none of NumPy's.
     * Floats are any bits, NaN among them.
     */
    const char *dtype;
    /** Of an array. */
    const uint64_t *shape;
    /** How many records, 0 is 1; of an array, unless 0, how many of this shape are stacked along a first axis. */
    uint64_t count;
    /** Bytes of a record. */
    uint64_t record_size;
    /** Of an array, NULL is "x"; of a tar file the members' extension, NULL is "bin". */
    const char *name;
} s3dlio_generate_object_params;

/**
 * Fills `dst` with `length` bytes of object `object` from `offset` on. `params` may be NULL.
 * Since: 0.1
 */
int32_t s3dlio_generate(const s3dlio_generate_params *params,
                        size_t params_size,
                        uint64_t object,
                        uint64_t offset,
                        void *dst,
                        size_t length,
                        s3dlio_error **err);

/**
 * Makes a whole object in one of the formats. Its payload is what s3dlio_generate makes of that object from
 * offset 0 on, with the format's heads and checksums between. The caller frees the buffer.
 * Errors: INVALID_ARGUMENT (also a type or name that the format cannot hold), OUT_OF_MEMORY.
 * Since: 0.1
 */
int32_t s3dlio_generate_object(const s3dlio_generate_params *params,
                               size_t params_size,
                               const s3dlio_generate_object_params *object_params,
                               size_t object_params_size,
                               uint64_t object,
                               s3dlio_buffer **data,
                               s3dlio_error **err);

/*
 * ==================================================================================================
 * File formats
 *
 * Bytes to bytes, without I/O: combine them with gets, readers and writers. Any thread, concurrently.
 *
 * - TFRecord: a frame around every record, with masked CRC32Cs, which are checked and written.
 * - Indexes of TFRecord files: where each frame lies, as pairs of little-endian 64-bit numbers or as
 *   the text of DALI's tfrecord2idx.
 * - tar: archives of ustar with pax headers, as WebDataset reads them.
 * - NPY and NPZ: arrays of NumPy, of any type of plain values, named as NumPy does: "<f4".
 * - HDF5: contiguous datasets of integers and floats, to be read by any HDF5 library.
 *
 * The errors are INVALID_ARGUMENT (what is given cannot be written), TRUNCATED, CORRUPT and
 * CHECKSUM_MISMATCH (the bytes are cut off, malformed or damaged; the detail `offset` says where),
 * UNSUPPORTED (they may be right, but are not read here), BUFFER_TOO_SMALL (the detail `required`
 * says how many bytes are needed) and OUT_OF_MEMORY.
 */

/** `kind` of an index: 16 bytes for each record, offset and length, little-endian. */
#define S3DLIO_INDEX_PAIRS 0

/** `kind` of an index: a line "offset length" for each record. */
#define S3DLIO_INDEX_TEXT 1

/** The most axes that an array of NumPy has. */
#define S3DLIO_NPY_MAX_AXES 64

/** A piece of a file. This struct never grows. */
typedef struct s3dlio_extent {
    /** The first byte. */
    uint64_t offset;
    /** How many bytes. */
    uint64_t length;
} s3dlio_extent;

/** What an NPY file holds. */
typedef struct s3dlio_npy_info {
    /** The element type, such as "<f4". */
    char descr[32];
    /** 1 where the first index runs fastest, else 0. */
    int32_t fortran_order;
    /** How many axes. */
    uint32_t ndim;
    /** Elements along each axis. */
    uint64_t shape[S3DLIO_NPY_MAX_AXES];
    /** Where the elements start in the file. */
    uint64_t data_offset;
    /** How many bytes they have. */
    uint64_t data_length;
} s3dlio_npy_info;

/** An array in memory, row-major. This struct never grows. */
typedef struct s3dlio_array {
    /** What it is called in the file, without ".npy". */
    const char *name;
    /** The element type as NumPy has it, such as "<f4", or as safetensors has it, such as "F32". */
    const char *descr;
    /** Elements along each axis; may be NULL where ndim is 0. */
    const uint64_t *shape;
    /** How many axes. */
    size_t ndim;
    /** The elements. */
    const void *data;
    /** How many bytes they have. */
    size_t length;
} s3dlio_array;

/** A member of an NPZ file, or of another ZIP file. This struct never grows. */
typedef struct s3dlio_npz_member {
    /** With ".npy". */
    const char *name;
    /** What to read of the file for s3dlio_npz_unpack: the first byte ... */
    uint64_t offset;
    /** ... and how many. */
    uint64_t length;
    /** Bytes once unpacked. */
    uint64_t size;
    /** Bytes as stored. */
    uint64_t packed;
    /** CRC32 of the unpacked bytes. */
    uint32_t crc32;
    /** How it is compressed: 0 is not at all, 8 deflated. */
    uint16_t method;
    /** The ZIP file's own. */
    uint16_t flags;
} s3dlio_npz_member;

/**
 * Writes the frame of one record, length + 16 bytes, to `dst`, which must not overlap the record.
 * `written` gets its size.
 * Since: 0.1
 */
int32_t s3dlio_tfrecord_append(const void *data,
                               size_t length,
                               void *dst,
                               size_t capacity,
                               size_t *written,
                               s3dlio_error **err);

/**
 * Finds the records of a TFRecord file, or of any run of whole frames, and checks them. `records`
 * gets where in `data` the first `capacity` of them lie, without their frames; `count` gets how many
 * there are.
 * Since: 0.1
 */
int32_t s3dlio_tfrecord_parse(const void *data,
                              size_t length,
                              s3dlio_extent *records,
                              size_t capacity,
                              size_t *count,
                              s3dlio_error **err);

/**
 * Makes the index of a TFRecord file, which is checked by the way. The caller frees `index`.
 * Since: 0.1
 */
int32_t s3dlio_tfrecord_index(const void *data,
                              size_t length,
                              int32_t kind,
                              s3dlio_buffer **index,
                              s3dlio_error **err);

/**
 * Reads an index of either kind. `frames` gets where the frames of the first `capacity` records lie in
 * their file, with the 16 bytes around the data; `count` gets how many there are. The index must fit a
 * file of `file_size` bytes; S3DLIO_TO_END leaves that open.
 * Since: 0.1
 */
int32_t s3dlio_tfrecord_index_parse(const void *index,
                                    size_t length,
                                    uint64_t file_size,
                                    s3dlio_extent *frames,
                                    size_t capacity,
                                    size_t *count,
                                    s3dlio_error **err);

/**
 * Writes one file of a tar archive to `dst`, which must not overlap the data: headers, data and padding, at
 * most length + 8192 bytes. Where `name` is NULL, it is the end of the archive, without which no archive is
 * whole. `written` gets the size.
 * Since: 0.1
 */
int32_t s3dlio_tar_append(const char *name,
                          const void *data,
                          size_t length,
                          void *dst,
                          size_t capacity,
                          size_t *written,
                          s3dlio_error **err);

/**
 * Makes what stands before the elements in an NPY file. The caller frees `head`.
 * Since: 0.1
 */
int32_t s3dlio_npy_head(const char *descr,
                        int32_t fortran_order,
                        const uint64_t *shape,
                        size_t ndim,
                        s3dlio_buffer **head,
                        s3dlio_error **err);

/**
 * Reads the head of an NPY file of `file_size` bytes, of which `head` are the first; 256 are mostly
 * enough, else it is BUFFER_TOO_SMALL. The file must have as many bytes as its elements need.
 * Since: 0.1
 */
int32_t s3dlio_npy_parse(const void *head,
                         size_t length,
                         uint64_t file_size,
                         s3dlio_npy_info *info,
                         size_t info_size,
                         s3dlio_error **err);

/**
 * Makes an NPZ file of arrays, not compressed. The same arrays make the same bytes. The caller frees
 * `file`.
 * Since: 0.1
 */
int32_t s3dlio_npz_write(const s3dlio_array *arrays,
                         size_t count,
                         s3dlio_buffer **file,
                         s3dlio_error **err);

/**
 * Makes an HDF5 file of arrays of integers and floats, each a contiguous dataset of the root group.
 * The caller frees `file`.
 * Since: 0.1
 */
int32_t s3dlio_hdf5_write(const s3dlio_array *arrays,
                          size_t count,
                          s3dlio_buffer **file,
                          s3dlio_error **err);

/**
 * Lists the members of an NPZ file of `file_size` bytes, of which `tail` are the last; 65536 are mostly
 * enough, else it is BUFFER_TOO_SMALL. `members` and their names live until the caller frees `owner`.
 * Since: 0.1
 */
int32_t s3dlio_npz_list(const void *tail,
                        size_t length,
                        uint64_t file_size,
                        const s3dlio_npz_member **members,
                        size_t *count,
                        s3dlio_buffer **owner,
                        s3dlio_error **err);

/**
 * The bytes of a member, unpacked and checked, out of the `length` bytes of the file from its `offset`
 * on. The caller frees `file`, an NPY file.
 * Since: 0.1
 */
int32_t s3dlio_npz_unpack(const s3dlio_npz_member *member,
                          const void *data,
                          size_t length,
                          s3dlio_buffer **file,
                          s3dlio_error **err);

/*
 * ==================================================================================================
 * The job's ranks
 *
 * A distributed job is its launcher's: torchrun, mpirun, srun. It tells each process its rank in
 * environment variables, and s3dlio_world_detect reads them. It starts nothing and talks to nobody;
 * a program that knows its rank otherwise (MPI_Comm_rank) needs none of this.
 */

/** What the launcher said. */
typedef struct s3dlio_world {
    /** This process's place in the job, from 0. */
    uint32_t rank;
    /** How many processes the job has. */
    uint32_t world_size;
    /** This process's place among those of its host, from 0. */
    uint32_t local_rank;
    /** How many processes of the job its host has. */
    uint32_t local_world_size;
    /** Which one it was: "torchrun", "openmpi", "mpich", "slurm". */
    char launcher[32];
    /**
     * What all ranks of this launch share and no other launch does, for s3dlio_checkpoint_params;
     * "" where the launcher tells nothing of the kind.
     */
    char run_id[256];
} s3dlio_world;

/**
 * Reads rank and world size from the launcher's variables: those of torchrun, of Open MPI, of MPICH
 * (PMI: Intel MPI and others too), of Slurm, in this order. `struct_size` is sizeof *world.
 * Errors: NOT_FOUND (no launcher's variables are set), INVALID_ARGUMENT (NULL; also a variable that is
 * missing beside the others or is no number, which is named), BUFFER_TOO_SMALL (a run id longer than
 * the field).
 * Since: 0.1
 */
int32_t s3dlio_world_detect(s3dlio_world *world, size_t struct_size, s3dlio_error **err);

/*
 * ==================================================================================================
 * Tensors
 *
 * A checkpoint holds named entries: arrays of one of the safetensors types, in row-major order (C
 * order: the last index runs fastest), without gaps. The types are BOOL U8 I8 F8_E5M2 F8_E4M3 I16 U16
 * F16 BF16 I32 U32 F32 C64 F64 I64 U64; F16 is IEEE's, C64 two F32. Numbers are little-endian, as
 * they are in memory here. A shape of no dimensions is a single value.
 *
 * An entry may be stored in pieces, by one rank or by many. Each piece is a box of the whole: it begins
 * at `start` in the array of `global_shape` and has `shape`. So does a load, whose box need not be any
 * piece's: a job of another size loads the boxes that its own ranks hold.
 */

/**
 * `flags` of s3dlio_tensor: every rank of the job gives this tensor with the same contents, and one of
 * them stores it.
 */
#define S3DLIO_TENSOR_REPLICATED 1

/** A tensor, or the box of one that this rank holds, to be saved. This struct never grows. */
typedef struct s3dlio_tensor {
    /** The entry. Unique in one shard; pieces of one entry in different shards have the same name. */
    const char *name;
    /** A type's name: "F32". */
    const char *dtype;
    /** What is given here: ndim numbers; may be NULL where ndim is 0. */
    const uint64_t *shape;
    /** The whole entry's shape: ndim numbers; NULL: the same as shape. */
    const uint64_t *global_shape;
    /** Where in the whole this begins: ndim numbers; NULL: at the beginning. */
    const uint64_t *start;
    /** How many dimensions. */
    uint32_t ndim;
    /** 0 or S3DLIO_TENSOR_REPLICATED. */
    uint32_t flags;
    /** The bytes; may be NULL where length is 0. Any alignment. */
    const void *data;
    /** How many: those of the type times all numbers of shape. */
    size_t length;
} s3dlio_tensor;

/** A box of an entry and the memory it is loaded into. This struct never grows. */
typedef struct s3dlio_tensor_request {
    /** The entry. */
    const char *name;
    /** Where the box begins: ndim numbers; NULL: at the beginning. */
    const uint64_t *start;
    /** The box's shape: ndim numbers; NULL: from start to the end. */
    const uint64_t *shape;
    /** How many numbers start and shape have; 0 where both are NULL. */
    uint32_t ndim;
    /** 0. */
    uint32_t flags;
    /**
     * -1: whoever stored it. Else only what this rank stored: for an entry of which the ranks saved
     * different contents under one name.
     */
    int64_t rank;
    /**
     * Where the box goes, in row-major order; any alignment. The memory of two requests of one call
     * must not overlap.
     */
    void *data;
    /** Its size: exactly the box's bytes. */
    size_t length;
} s3dlio_tensor_request;

/*
 * ==================================================================================================
 * Saving checkpoints
 *
 * A checkpoint is what a job of world_size ranks saved at one step, below the root of a store (open
 * the store at "s3://bucket/run1/checkpoints"). Each rank writes its shards, and then rank 0 publishes a
 * manifest that names them all with sizes and checksums. Before that there is nothing to be loaded;
 * whatever dies on the way, the checkpoints that were committed before stay whole. A step is committed
 * once: saving it again is ALREADY_EXISTS, until s3dlio_checkpoint_delete.
 *
 *     s3dlio_checkpoint_params params = {.step = 1000, .rank = rank, .world_size = size, .run_id = run};
 *     s3dlio_checkpoint_writer *writer;
 *     s3dlio_checkpoint_writer_open(store, NULL, &params, sizeof params, &writer, &err);
 *     s3dlio_checkpoint_writer_put_tensors(writer, NULL, tensors, count, &err);
 *     s3dlio_checkpoint_writer_commit(writer, &err);
 *     s3dlio_checkpoint_writer_free(writer);
 *
 * Agreeing. All ranks of one save need one id. Either through the storage: give every rank the same
 * run_id, which no other launch of the job has, and rank 0 tells the others through an object. Or a
 * host with a broadcast of its own opens rank 0 first, takes s3dlio_checkpoint_writer_id, and gives
 * it to the others as id: then no object and no run_id is needed. The same holds for the end: commit
 * on every rank waits through the storage; a host with a barrier calls finish everywhere, then its
 * barrier, then commit on rank 0 only. With a world_size of 1 neither is needed.
 *
 * Memory of the caller's: put_tensors and put_bytes read it in place, and are done with it when they
 * return. snapshot_tensors copies it: when that returns the caller may change its tensors, and the
 * copy is stored by finish or commit, or in the background by s3dlio_checkpoint_writer_commit_submit.
 * A streamed shard (s3dlio_checkpoint_writer_open_shard) needs memory for a few parts only.
 *
 * A rank may write several shards; their names differ. Names have 1 to 64 of the characters A-Z a-z 0-9
 * _ -; NULL is "data". Option writer.compression=zstd compresses them; checkpoint.strategy says how
 * their keys are spread. Shards of tensors are safetensors files that other tools open.
 *
 * Free before finish aborts: rank 0 is told, and what this rank stored is removed in the background
 * (s3dlio_shutdown waits for it). Once a rank's part is finished it is rank 0 who decides. What a
 * killed process leaves is invisible, and removed by s3dlio_checkpoint_collect.
 *
 * Beside the errors that a function names, those of stores and writers: FORKED for a writer that was
 * inherited through fork() (the parent's goes on), SHUTDOWN, INVALID_STATE (after finish or abort,
 * or another thread is inside), NO_SPACE, PERMISSION_DENIED, CANCELLED and UNKNOWN_OUTCOME (after a
 * submitted call that was cancelled). Arguments that are wrong change nothing. What fails while it
 * stores stays: the calls after it give the same error, and the save can only be aborted or freed.
 */

/** Who saves what. All zero but world_size is rank 0 of 1 at step 0. */
typedef struct s3dlio_checkpoint_params {
    /** Less than 10^12; checkpoints are ordered by it. */
    uint64_t step;
    /** If has_epoch is 1; else 0. */
    uint64_t epoch;
    /** 1 if there is an epoch, else 0. */
    uint32_t has_epoch;
    /** This process's, less than world_size. */
    uint32_t rank;
    /** How many ranks take part, 1 or more; the same on all of them. */
    uint32_t world_size;
    /** 0. */
    uint32_t reserved;
    /**
     * The id that rank 0 got and the host broadcast; NULL: rank 0 makes one, the others find it
     * through the storage.
     */
    const char *id;
    /**
     * What all ranks of this launch share and no other launch does, such as the run_id of
     * s3dlio_world; NULL where the host tells the id, and in a world of 1.
     */
    const char *run_id;
    /** Who wrote it, kept in the manifest: "pytorch"; NULL: "". */
    const char *framework;
    /** Rank 0's are kept in the manifest; any UTF-8 texts, no name twice. */
    const s3dlio_key_value *metadata;
    /** How many pairs metadata has. */
    size_t metadata_count;
} s3dlio_checkpoint_params;

/**
 * Begins this rank's part of a save. Rank 0 checks that the step is free and, where no id is given,
 * makes it and tells it through the storage; the other ranks wait for that, no longer than
 * checkpoint.timeout_ms. `options` may be NULL; what is set in them goes over the store's. The caller
 * frees the writer.
 * Errors: INVALID_ARGUMENT (of params; neither id nor run_id on a rank that has to find the id; rank 0
 * began with another world_size, which is named), ALREADY_EXISTS (the step is committed), TIMEOUT
 * (rank 0 did not begin; detail missing_ranks).
 * Since: 0.1
 */
int32_t s3dlio_checkpoint_writer_open(const s3dlio_store *store,
                                      const s3dlio_options *options,
                                      const s3dlio_checkpoint_params *params,
                                      size_t params_size,
                                      s3dlio_checkpoint_writer **writer,
                                      s3dlio_error **err);

/**
 * The save's id, the same on all ranks; it lives as long as the handle. NULL for NULL and stale
 * handles.
 * Since: 0.1
 */
const char *s3dlio_checkpoint_writer_id(const s3dlio_checkpoint_writer *writer);

/**
 * Stores tensors as one shard. Their memory is read in place and not used after the call. A tensor may
 * be empty, and so may the list. In the shard, larger types come first, so that all are aligned.
 * Errors: INVALID_ARGUMENT (a tensor, which is named: its type is unknown, its length is not what type
 * and shape say, its box leaves global_shape, its name is empty or is there twice with the same box;
 * the shard's name), ALREADY_EXISTS (the shard's name was used before).
 * Since: 0.1
 */
int32_t s3dlio_checkpoint_writer_put_tensors(s3dlio_checkpoint_writer *writer,
                                             const char *shard,
                                             const s3dlio_tensor *tensors,
                                             size_t count,
                                             s3dlio_error **err);

/**
 * Copies tensors into memory of the library's and does no I/O: when it returns, the caller may change
 * them. They are stored as one shard by finish or commit, blocking or submitted, and the copy is
 * freed then.
 * Errors: as s3dlio_checkpoint_writer_put_tensors; OUT_OF_MEMORY.
 * Since: 0.1
 */
int32_t s3dlio_checkpoint_writer_snapshot_tensors(s3dlio_checkpoint_writer *writer,
                                                  const char *shard,
                                                  const s3dlio_tensor *tensors,
                                                  size_t count,
                                                  s3dlio_error **err);

/**
 * As s3dlio_checkpoint_writer_snapshot_tensors without the copy: tensor i lies within the memory of
 * `buffers[i]` (the same buffer may hold many). The writer has handles of its own: the caller may free
 * its own at any time, but changes nothing in these tensors until finish or commit returned, or the
 * event came.
 * Errors: as s3dlio_checkpoint_writer_put_tensors; INVALID_ARGUMENT (a tensor is not within its
 * buffer), BAD_HANDLE.
 * Since: 0.1
 */
int32_t s3dlio_checkpoint_writer_snapshot_buffers(s3dlio_checkpoint_writer *writer,
                                                  const char *shard,
                                                  const s3dlio_tensor *tensors,
                                                  const s3dlio_buffer *const *buffers,
                                                  size_t count,
                                                  s3dlio_error **err);

/**
 * Stores bytes of any kind as one shard, which s3dlio_checkpoint_read_shard gives back: no entries can
 * be loaded from it. They are read in place and not used after the call.
 * Errors: INVALID_ARGUMENT (the shard's name), ALREADY_EXISTS (it was used before).
 * Since: 0.1
 */
int32_t s3dlio_checkpoint_writer_put_bytes(s3dlio_checkpoint_writer *writer,
                                           const char *shard,
                                           const void *data,
                                           size_t length,
                                           s3dlio_error **err);

/**
 * Opens a shard to be written in pieces: see the section on streamed shards. `tensors` says what will
 * come, in this order; their data and length are ignored. With NULL and 0 it is a shard of plain
 * bytes, of any length. The caller frees the shard. Several may be open at once, each used by a thread
 * of its own; every one has to be finished or freed before the writer's finish.
 * Errors: INVALID_ARGUMENT (as s3dlio_checkpoint_writer_put_tensors; a replicated tensor),
 * ALREADY_EXISTS (the shard's name was used before).
 * Since: 0.1
 */
int32_t s3dlio_checkpoint_writer_open_shard(s3dlio_checkpoint_writer *writer,
                                            const char *shard,
                                            const s3dlio_tensor *tensors,
                                            size_t count,
                                            s3dlio_checkpoint_shard **stream,
                                            s3dlio_error **err);

/**
 * Stores what is left of this rank's part, then its receipt: from now on it counts. Nothing can be
 * added. Again is success.
 * Errors: ALREADY_EXISTS (another process handed in this rank's part of this save), INVALID_STATE (a
 * streamed shard is neither finished nor freed), CHANGED (rank 0 began the save anew), UNKNOWN_OUTCOME.
 * Since: 0.1
 */
int32_t s3dlio_checkpoint_writer_finish(s3dlio_checkpoint_writer *writer, s3dlio_error **err);

/**
 * Finish, and then the end of the save. Rank 0 waits for the receipts of all ranks, no longer than
 * checkpoint.timeout_ms, publishes the checkpoint, and removes older ones where checkpoint.keep_last or
 * checkpoint.keep_every say so. The other ranks wait until it is published. Success means that the
 * checkpoint is there, on every rank. Again is success.
 * Errors: TIMEOUT (detail missing_ranks; commit may be called again), CANCELLED (a rank gave up; on rank
 * 0 detail rank and that rank's error), INVALID_ARGUMENT (a rank saved with another world_size, the ranks
 * do not agree on a tensor's type or whole shape, or a box of one was given by none), ALREADY_EXISTS
 * (another save of this step was first), UNKNOWN_OUTCOME (a cloud store's last answer was lost: open
 * the step to see), and those of finish.
 * Since: 0.1
 */
int32_t s3dlio_checkpoint_writer_commit(s3dlio_checkpoint_writer *writer, s3dlio_error **err);

/**
 * Removes what this rank stored and waits for that; the checkpoint will not be committed. After finish
 * only rank 0's abort does so. Again is success.
 * Errors: INVALID_STATE (committed before), UNKNOWN_OUTCOME (a commit was cut short or lost its answer, and may
 * still arrive: nothing is removed).
 * Since: 0.1
 */
int32_t s3dlio_checkpoint_writer_abort(s3dlio_checkpoint_writer *writer,
                                       s3dlio_error **err);

/**
 * Frees the writer. Before finish (on rank 0: before commit) this is abort, in the background; a commit
 * that was submitted goes on. NULL and stale handles are ignored.
 * Since: 0.1
 */
void s3dlio_checkpoint_writer_free(s3dlio_checkpoint_writer *writer);

/*
 * ==================================================================================================
 * Streamed shards
 *
 * A shard of a save that is written piece by piece, in constant memory: parts upload in the background
 * while more is written, as with a writer. Of a shard of tensors, the bytes are those of its tensors in
 * the order in which they were announced, one after the other; pieces may begin and end anywhere. Any
 * thread, one at a time; different shards of one writer concurrently.
 *
 * Errors are those of writers: FORKED, SHUTDOWN, INVALID_STATE (after finish, or another thread is
 * inside), NO_SPACE. The first one stays: every later write and finish returns it.
 */

/**
 * Appends `length` bytes, which are copied. Waits while all parts in flight are busy.
 * Errors: INVALID_ARGUMENT (also more bytes than the tensors have).
 * Since: 0.1
 */
int32_t s3dlio_checkpoint_shard_write(s3dlio_checkpoint_shard *shard,
                                      const void *data,
                                      size_t length,
                                      s3dlio_error **err);

/**
 * Gives memory of at least `min_size` bytes to fill in place: `*data` with room for `*capacity`, which
 * in a shard of tensors ends with the present tensor. It is the shard's, and valid until the next call
 * on the shard; s3dlio_checkpoint_shard_commit appends what was filled. A reservation without a commit
 * is forgotten.
 * Errors: INVALID_ARGUMENT (min_size is 0, more than memory can be, or more than is left of the present
 * tensor), OUT_OF_MEMORY.
 * Since: 0.1
 */
int32_t s3dlio_checkpoint_shard_reserve(s3dlio_checkpoint_shard *shard,
                                        size_t min_size,
                                        void **data,
                                        size_t *capacity,
                                        s3dlio_error **err);

/**
 * Appends the first `length` bytes of the reserved memory without copying them.
 * Errors: INVALID_STATE (nothing is reserved), INVALID_ARGUMENT (more than was reserved).
 * Since: 0.1
 */
int32_t s3dlio_checkpoint_shard_commit(s3dlio_checkpoint_shard *shard, size_t length, s3dlio_error **err);

/**
 * Stores what is left and adds the shard to its writer's part of the save. `stats` may be NULL. The
 * handle still has to be freed.
 * Errors: TRUNCATED (fewer bytes came than the tensors have), INVALID_STATE (finished before, or the
 * writer was finished, aborted or freed meanwhile).
 * Since: 0.1
 */
int32_t s3dlio_checkpoint_shard_finish(s3dlio_checkpoint_shard *shard,
                                       s3dlio_write_stats *stats,
                                       size_t stats_size,
                                       s3dlio_error **err);

/**
 * Frees the shard. Without finish, what was stored of it is removed in the background, and the save goes
 * on without it. NULL and stale handles are ignored.
 * Since: 0.1
 */
void s3dlio_checkpoint_shard_free(s3dlio_checkpoint_shard *shard);

/*
 * ==================================================================================================
 * Loading checkpoints
 *
 * Only committed checkpoints can be opened: by step, by id, or the latest one, which is the one of the
 * largest step. Opening reads the manifest and nothing else. A load reads boxes of entries into the
 * caller's memory, with as few ranged requests as that takes, whatever the number of ranks that saved
 * them. What is read whole is compared with its CRC32C. A part of a piece is checked by its length
 * only: s3dlio_checkpoint_validate reads and checks everything.
 *
 * A checkpoint is for any thread, concurrently, and may be used in forked children. It keeps what it
 * needs of its store.
 *
 * Beside the errors that a function names, those of stores and gets: NOT_FOUND, TRUNCATED (a shard is
 * shorter than the manifest says: it is named), CHECKSUM_MISMATCH, CORRUPT (a manifest or shard is not
 * what was written), UNSUPPORTED (written by a later version of the format).
 */

/** As a step: the largest one that is committed. */
#define S3DLIO_LATEST UINT64_MAX

/** `kind` of s3dlio_shard_info: tensors, a safetensors file. */
#define S3DLIO_SHARD_SAFETENSORS 0

/** `kind` of s3dlio_shard_info: bytes of the caller's. */
#define S3DLIO_SHARD_BYTES 1

/** Facts of a checkpoint. The texts live as long as the checkpoint. */
typedef struct s3dlio_checkpoint_info {
    /** As it was saved. */
    uint64_t step;
    /** If has_epoch is 1; else 0. */
    uint64_t epoch;
    /** 1 if there is an epoch, else 0. */
    uint32_t has_epoch;
    /** How many ranks saved it. */
    uint32_t world_size;
    /** Of this save; no other one has it. */
    const char *id;
    /** Who wrote it; "" if nobody said. */
    const char *framework;
    /** When it was committed: RFC 3339, UTC, such as "2026-01-31T12:34:56Z". */
    const char *created;
    /** How its keys are spread: flat, round_robin or binary. */
    const char *strategy;
    /** Of its manifest. */
    const char *uri;
    /** How many entries it has. */
    size_t entry_count;
    /** How many shards it has. */
    size_t shard_count;
    /** How many pairs of metadata it has. */
    size_t metadata_count;
    /** All shards together, before compression. */
    uint64_t bytes;
    /** All shards together, as stored. */
    uint64_t stored_bytes;
} s3dlio_checkpoint_info;

/** Facts of an entry. The pointers live as long as the checkpoint. */
typedef struct s3dlio_entry_info {
    /** As it was saved. */
    const char *name;
    /** A type's name: "F32". */
    const char *dtype;
    /** The whole entry's: ndim numbers; NULL where ndim is 0. */
    const uint64_t *shape;
    /** How many dimensions. */
    size_t ndim;
    /** The whole entry's size in memory. */
    uint64_t bytes;
    /** In how many pieces it is stored. */
    size_t parts;
} s3dlio_entry_info;

/** Facts of a shard. The texts live as long as the checkpoint. */
typedef struct s3dlio_shard_info {
    /** Who wrote it. */
    uint32_t rank;
    /** S3DLIO_SHARD_SAFETENSORS or S3DLIO_SHARD_BYTES. */
    uint32_t kind;
    /** As it was saved. */
    const char *name;
    /** The object, relative to the store's root; ends in .zst if it is compressed. */
    const char *key;
    /** In bytes, before compression. */
    uint64_t size;
    /** In bytes as stored. */
    uint64_t stored_size;
    /** CRC32C before compression. */
    uint32_t crc32c;
    /** CRC32C as stored. */
    uint32_t stored_crc32c;
} s3dlio_shard_info;

/**
 * Opens the checkpoint of a step; S3DLIO_LATEST: the one of the largest step. `options` may be NULL;
 * what is set in them goes over the store's. The caller frees the checkpoint.
 * Errors: NOT_FOUND (there is none).
 * Since: 0.1
 */
int32_t s3dlio_checkpoint_open(const s3dlio_store *store,
                               const s3dlio_options *options,
                               uint64_t step,
                               s3dlio_checkpoint **checkpoint,
                               s3dlio_error **err);

/**
 * Opens the checkpoint of this id, as s3dlio_checkpoint_open does the one of a step.
 * Errors: INVALID_ARGUMENT (also what is no id), NOT_FOUND (there is none, or another save of the step
 * was committed).
 * Since: 0.1
 */
int32_t s3dlio_checkpoint_open_id(const s3dlio_store *store,
                                  const s3dlio_options *options,
                                  const char *id,
                                  s3dlio_checkpoint **checkpoint,
                                  s3dlio_error **err);

/**
 * What the manifest says of the whole.
 * Errors: INVALID_ARGUMENT, BAD_HANDLE.
 * Since: 0.1
 */
int32_t s3dlio_checkpoint_get_info(const s3dlio_checkpoint *checkpoint,
                                   s3dlio_checkpoint_info *info,
                                   size_t info_size,
                                   s3dlio_error **err);

/**
 * One pair of the metadata, in the order of the names. The texts live as long as the checkpoint.
 * Errors: INVALID_ARGUMENT (also where index is metadata_count or more), BAD_HANDLE.
 * Since: 0.1
 */
int32_t s3dlio_checkpoint_metadata(const s3dlio_checkpoint *checkpoint,
                                   size_t index,
                                   const char **name,
                                   const char **value,
                                   s3dlio_error **err);

/**
 * The facts of an entry.
 * Errors: INVALID_ARGUMENT (also where index is entry_count or more), BAD_HANDLE.
 * Since: 0.1
 */
int32_t s3dlio_checkpoint_entry(const s3dlio_checkpoint *checkpoint,
                                size_t index,
                                s3dlio_entry_info *info,
                                size_t info_size,
                                s3dlio_error **err);

/**
 * The index of the entry of this name.
 * Errors: NOT_FOUND, INVALID_ARGUMENT, BAD_HANDLE.
 * Since: 0.1
 */
int32_t s3dlio_checkpoint_find(const s3dlio_checkpoint *checkpoint,
                               const char *name,
                               size_t *index,
                               s3dlio_error **err);

/**
 * The facts of a shard.
 * Errors: INVALID_ARGUMENT (also where index is shard_count or more), BAD_HANDLE.
 * Since: 0.1
 */
int32_t s3dlio_checkpoint_shard_info(const s3dlio_checkpoint *checkpoint,
                                     size_t index,
                                     s3dlio_shard_info *info,
                                     size_t info_size,
                                     s3dlio_error **err);

/**
 * Loads boxes of entries, each into its own memory, all in one call: the more are asked for at once,
 * the fewer and larger the reads. After an error the contents of all destinations are unspecified.
 * Errors: NOT_FOUND (no such entry, or not of this rank), RANGE (a box outside the entry), INVALID_ARGUMENT
 * (a length that is not the box's, which is the detail required; memory that overlaps; an entry whose
 * ranks saved different contents, without a rank).
 * Since: 0.1
 */
int32_t s3dlio_checkpoint_load(const s3dlio_checkpoint *checkpoint,
                               const s3dlio_tensor_request *requests,
                               size_t count,
                               s3dlio_error **err);

/**
 * Reads a whole shard, decompressed, and compares it with its CRC32C. `shard` is its name; NULL is
 * "data".
 * Errors: NOT_FOUND (the rank wrote no shard of this name), OUT_OF_MEMORY.
 * Since: 0.1
 */
int32_t s3dlio_checkpoint_read_shard(const s3dlio_checkpoint *checkpoint,
                                     uint32_t rank,
                                     const char *shard,
                                     s3dlio_buffer **data,
                                     s3dlio_error **err);

/**
 * Checks that every shard is there with the size that the manifest says; with `deep` 1 compares the
 * CRC32C of all stored bytes, the headers of shards that are not compressed, the receipts and latest.json.
 * Errors: NOT_FOUND, TRUNCATED, CORRUPT, CHECKSUM_MISMATCH, each with the object's URI;
 * INVALID_ARGUMENT (deep is not 0 or 1).
 * Since: 0.1
 */
int32_t s3dlio_checkpoint_validate(const s3dlio_checkpoint *checkpoint, uint32_t deep, s3dlio_error **err);

/**
 * Frees the checkpoint; nothing is deleted. Loads that are under way end normally. NULL and stale
 * handles are ignored.
 * Since: 0.1
 */
void s3dlio_checkpoint_free(s3dlio_checkpoint *checkpoint);

/*
 * ==================================================================================================
 * Keeping checkpoints
 *
 * Lists and removes the checkpoints below a store's root. A checkpoint is removed manifest first: it
 * cannot be opened any more before its data goes, and what a killed removal leaves is collected like a
 * torn save. One process of a job should do it, not all of them.
 *
 * Beside the errors that a function names, those of stores.
 */

/**
 * The steps of the committed checkpoints, ascending. `*count` is how many there are; `steps` has room
 * for `capacity` of them and gets the largest ones, where there are more. With NULL and 0 they are only
 * counted.
 * Since: 0.1
 */
int32_t s3dlio_checkpoint_list(const s3dlio_store *store,
                               uint64_t *steps,
                               size_t capacity,
                               size_t *count,
                               s3dlio_error **err);

/**
 * Removes the checkpoint of a step.
 * Errors: NOT_FOUND (there is none).
 * Since: 0.1
 */
int32_t s3dlio_checkpoint_delete(const s3dlio_store *store, uint64_t step, s3dlio_error **err);

/**
 * Removes all checkpoints but the last `keep_last` ones (at least 1), and, where `keep_every` is not
 * 0, those whose step is a multiple of it. `deleted`, which may be NULL, gets how many were
 * removed.
 * Errors: INVALID_ARGUMENT (keep_last is 0).
 * Since: 0.1
 */
int32_t s3dlio_checkpoint_prune(const s3dlio_store *store,
                                uint64_t keep_last,
                                uint64_t keep_every,
                                size_t *deleted,
                                s3dlio_error **err);

/**
 * Removes what saves left that were never committed, and removals that were cut short, where nothing
 * of it is younger than `min_age_ms`: choose more than the longest save takes, as a save under way looks
 * the same. `removed`, which may be NULL, gets how many saves that were.
 * Since: 0.1
 */
int32_t s3dlio_checkpoint_collect(const s3dlio_store *store,
                                  uint64_t min_age_ms,
                                  size_t *removed,
                                  s3dlio_error **err);

/*
 * ==================================================================================================
 * Checkpoints without waiting
 *
 * As the other _submit functions. While a commit or finish is under way its writer takes no other
 * call (INVALID_STATE), but may be freed: the save goes on. A commit occupies one of its queue's turns
 * until all ranks are there, so a process that plays many ranks takes a queue for each. A cancel
 * while it waits for other ranks leaves the save as it was: commit again, or abort. One that stops the
 * storing of data leaves only abort; one that comes too late changes nothing. The progress is in bytes moved, whatever they belong to.
 */

/**
 * Starts storing what is left of this rank's part, as s3dlio_checkpoint_writer_finish.
 * Since: 0.1
 */
int32_t s3dlio_checkpoint_writer_finish_submit(s3dlio_checkpoint_writer *writer,
                                               const s3dlio_queue *queue,
                                               uint64_t token,
                                               s3dlio_op **op,
                                               s3dlio_error **err);

/**
 * Starts the end of a save, as s3dlio_checkpoint_writer_commit: what snapshot_tensors copied is
 * stored in the background.
 * Since: 0.1
 */
int32_t s3dlio_checkpoint_writer_commit_submit(s3dlio_checkpoint_writer *writer,
                                               const s3dlio_queue *queue,
                                               uint64_t token,
                                               s3dlio_op **op,
                                               s3dlio_error **err);

/**
 * Starts loading boxes of entries, as s3dlio_checkpoint_load. The memory is the library's until the
 * event is taken; the requests themselves are copied. The event has the sum of their bytes.
 * Since: 0.1
 */
int32_t s3dlio_checkpoint_load_submit(const s3dlio_checkpoint *checkpoint,
                                      const s3dlio_tensor_request *requests,
                                      size_t count,
                                      const s3dlio_queue *queue,
                                      uint64_t token,
                                      s3dlio_op **op,
                                      s3dlio_error **err);

#ifdef __cplusplus
}
#endif

#endif /* S3DLIO_H */
