/* faultd as a program, for the tests that need its faults or a server that costs little. */
#ifndef FAULTD_H
#define FAULTD_H

#include "test.h"

#include <spawn.h>

extern char **environ;

typedef struct {
    pid_t pid;
    int in;
    FILE *out;
    char s3[100], azure[100]; /* endpoints */
} faultd;

/* Starts it with a script, or without. */
static inline faultd faultd_start(const char *script) {
    const char *const arguments[] = {getenv("S3DLIO_TEST_FAULTD"), "--verify-signatures",
                                     script ? "--script" : NULL, script, NULL};
    faultd f = {-1, -1, NULL, "", ""};
    char ready[300] = "";
    int in[2], out[2];
    posix_spawn_file_actions_t actions;
    CHECK(pipe(in) == 0 && pipe(out) == 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    for (int end = 0; end < 2; end++) {
        posix_spawn_file_actions_addclose(&actions, in[end]);
        posix_spawn_file_actions_addclose(&actions, out[end]);
    }
    CHECK(posix_spawn(&f.pid, arguments[0], &actions, NULL, (char *const *)arguments, environ) == 0);
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    f.in = in[1];
    f.out = fdopen(out[0], "r");
    CHECK(fgets(ready, sizeof ready, f.out) != NULL);
    CHECK(sscanf(ready, "FAULTD_S3=%99s FAULTD_AZURE=%99s", f.s3, f.azure) == 2);
    return f;
}

/* Ends it; `said` is its last line: what it met and what is left. */
static inline void faultd_stop(faultd *f, char *said, size_t room) {
    int status = -1;
    close(f->in);
    CHECK(fgets(said, (int)room, f->out) != NULL);
    fclose(f->out);
    CHECK(waitpid(f->pid, &status, 0) == f->pid && status == 0);
}

#endif
