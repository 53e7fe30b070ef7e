/* A defect inside: the environment variable S3DLIO_TEST_PANIC names an export that panics. For every
 * export a child of ours is run with it: the call is INTERNAL (or 0 or NULL), writes no output,
 * poisons its handle, and the process lives on. */
#include "exports.h"

#include <spawn.h>

extern char **environ;

static const export_entry *find(const char *name) {
    for (int i = 0; i < EXPORT_COUNT; i++) {
        if (strcmp(exports[i].name, name) == 0) return &exports[i];
    }
    return NULL;
}

/* Another function of the same handle than the one that panics, and not one that succeeds in any
 * state. */
static const char *other_function(enum handle_type type, const char *than) {
    static const char *const pairs[HANDLE_TYPES][2] = {
        [BUFFER] = {"s3dlio_buffer_clone", NULL},
        [OPTIONS] = {"s3dlio_options_clone", "s3dlio_options_set"},
        [STORE] = {"s3dlio_store_exists", "s3dlio_store_get"},
        [LISTER] = {"s3dlio_lister_next", NULL},
        [READER] = {"s3dlio_reader_read", "s3dlio_reader_size"},
        [WRITER] = {"s3dlio_writer_write", "s3dlio_writer_abort"},
        [QUEUE] = {"s3dlio_queue_fd", "s3dlio_queue_next"},
        [OP] = {"s3dlio_op_cancel", "s3dlio_op_progress"},
        [SAVE] = {"s3dlio_checkpoint_writer_abort", "s3dlio_checkpoint_writer_finish"},
        [SHARD] = {"s3dlio_checkpoint_shard_write", "s3dlio_checkpoint_shard_finish"},
        [DATASET] = {"s3dlio_dataset_length", "s3dlio_dataset_index"},
        [LOADER] = {"s3dlio_loader_state", "s3dlio_loader_next"},
        [BATCH] = {"s3dlio_batch_gather", NULL},
        [CHECKPOINT] = {"s3dlio_checkpoint_find", "s3dlio_checkpoint_load"},
    };
    return pairs[type][0] == NULL || strcmp(pairs[type][0], than) != 0 ? pairs[type][0] : pairs[type][1];
}

static int child(const char *name) {
    const export_entry *e = find(name);
    void *handles[HANDLE_TYPES];
    scratch s;
    s3dlio_error *err = NULL;
    watchdog();
    live_handles(handles);
    s3dlio_buffer_new(4, &shared_buffer, NULL);
    s3dlio_queue_new(&shared_queue, NULL);
    void *handle = handles[e->handle];
    if (e->handle != NONE) CHECK(handle != NULL);
    prepare(&s);
    int32_t got = e->call(handle, &s, &err);
    if (e->result == VALUE) {
        /* Some fall back to what they were given; none may crash. */
        CHECK(got == 1 || strcmp(name, "s3dlio_crc32c") == 0);
    } else if (e->result == FREE) {
        CHECK(got == 0);
    } else {
        CHECK(got == S3DLIO_ERR_INTERNAL);
        CHECK(untouched(&s));
        if (strncmp(name, "s3dlio_error_", 13) != 0) {
            CHECK(s3dlio_error_code(err) == S3DLIO_ERR_INTERNAL);
            const char *message = s3dlio_error_message(err);
            CHECK(message != NULL && strstr(message, name) != NULL);
        }
        s3dlio_error_free(err);
        err = NULL;
        const char *other = e->handle == NONE ? NULL : other_function(e->handle, name);
        if (other != NULL) {
            prepare(&s);
            CHECK(find(other)->call(handle, &s, &err) == S3DLIO_ERR_POISONED);
            s3dlio_error_free(err);
            err = NULL;
        }
    }
    /* The process lives: fresh handles work, but for what panics. */
    int32_t exists = -1;
    if (strcmp(name, "s3dlio_put") != 0) {
        OK(s3dlio_put("memory://alive/x", NULL, "abc", 3, &err));
        if (strcmp(name, "s3dlio_exists") != 0) {
            OK(s3dlio_exists("memory://alive/x", NULL, &exists, &err));
            CHECK(exists == 1);
        }
    }
    for (int type = ERROR; type < HANDLE_TYPES; type++) free_handle(type, handles[type]);
    s3dlio_buffer_free(shared_buffer);
    s3dlio_queue_free(shared_queue);
    return summary("child") != 0;
}

int main(int argc, char **argv) {
    if (argc > 1) return child(argv[1]);
    watchdog();
    setenv("RUST_BACKTRACE", "0", 1);
    for (int i = 0; i < EXPORT_COUNT; i++) {
        char *arguments[] = {argv[0], (char *)exports[i].name, NULL};
        posix_spawn_file_actions_t actions;
        pid_t pid;
        int status = -1;
        setenv("S3DLIO_TEST_PANIC", exports[i].name, 1);
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", 1, 0);
        CHECK(posix_spawn(&pid, argv[0], &actions, NULL, arguments, environ) == 0);
        posix_spawn_file_actions_destroy(&actions);
        CHECK(waitpid(pid, &status, 0) == pid);
        check_(WIFEXITED(status) && WEXITSTATUS(status) == 0, __FILE__, __LINE__, exports[i].name,
               WIFSIGNALED(status) ? "killed by a signal" : "its checks failed");
    }
    return summary("panic");
}
