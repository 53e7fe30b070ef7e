/* fork() while traffic is running: the child opens a store and works on an inherited one, inherited
 * readers, writers and listers are FORKED, the parent goes on, nobody hangs. 50 times per backend. */
#include "test.h"

#include <signal.h>

enum { FORKS = 50, TRAFFIC = 3, SIZE = 300000 };

static s3dlio_store *store;
static atomic_int stop, rounds;

/* Puts, gets, lists and streams until told to stop. */
static void *traffic(void *number) {
    s3dlio_error *err = NULL;
    s3dlio_buffer *data = NULL;
    s3dlio_object_info info;
    char key[32];
    unsigned char *bytes = malloc(SIZE);
    repeating = 1;
    fill(bytes, SIZE, (uint32_t)(intptr_t)number);
    snprintf(key, sizeof key, "traffic/%d", (int)(intptr_t)number);
    while (!atomic_load(&stop)) {
        s3dlio_writer *writer = NULL;
        s3dlio_lister *lister = NULL;
        OK(s3dlio_writer_open(store, key, NULL, NULL, 0, &writer, &err));
        OK(s3dlio_writer_write(writer, bytes, SIZE, &err));
        OK(s3dlio_writer_finish(writer, NULL, 0, &err));
        s3dlio_writer_free(writer);
        if (OK(s3dlio_store_get(store, key, &data, &err))) {
            CHECK(s3dlio_buffer_size(data) == SIZE && memcmp(s3dlio_buffer_data(data), bytes, SIZE) == 0);
            s3dlio_buffer_free(data);
        }
        OK(s3dlio_store_list(store, "traffic/", 1, &lister, &err));
        while (s3dlio_lister_next(lister, &info, sizeof info, &err) == S3DLIO_OK) {
        }
        s3dlio_lister_free(lister);
        atomic_fetch_add(&rounds, 1);
    }
    free(bytes);
    return NULL;
}

typedef struct {
    s3dlio_reader *reader;
    s3dlio_writer *writer;
    s3dlio_lister *lister;
    s3dlio_queue *queue;
    s3dlio_op *op;
} inherited;

static void child(const backend *b, const inherited *i, int round) {
    s3dlio_error *err = NULL;
    s3dlio_store *fresh = NULL;
    s3dlio_buffer *data = NULL;
    s3dlio_object_info info;
    s3dlio_write_stats stats;
    uint64_t position;
    char key[32], byte[2] = "x";
    size_t n;
    alarm(60);
    atomic_store(&failed, 0); /* what failed before is the parent's to report */
    STATUS(S3DLIO_ERR_FORKED, s3dlio_reader_read(i->reader, byte, 1, &n, &err));
    STATUS(S3DLIO_ERR_FORKED, s3dlio_reader_read_at(i->reader, 0, byte, 1, &n, &err));
    STATUS(S3DLIO_ERR_FORKED, s3dlio_reader_size(i->reader, &position, &err));
    STATUS(S3DLIO_ERR_FORKED, s3dlio_reader_seek(i->reader, 0, S3DLIO_SEEK_SET, NULL, &err));
    STATUS(S3DLIO_ERR_FORKED, s3dlio_writer_write(i->writer, "x", 1, &err));
    STATUS(S3DLIO_ERR_FORKED, s3dlio_writer_finish(i->writer, NULL, 0, &err));
    STATUS(S3DLIO_ERR_FORKED, s3dlio_writer_abort(i->writer, &err));
    STATUS(S3DLIO_ERR_FORKED, s3dlio_writer_get_stats(i->writer, &stats, sizeof stats, &err));
    STATUS(S3DLIO_ERR_FORKED, s3dlio_lister_next(i->lister, &info, sizeof info, &err));
    s3dlio_event event;
    int32_t fd;
    STATUS(S3DLIO_ERR_FORKED, s3dlio_queue_fd(i->queue, &fd, &err));
    STATUS(S3DLIO_ERR_FORKED, s3dlio_queue_next(i->queue, -1, &event, sizeof event, &err));
    STATUS(S3DLIO_ERR_FORKED, s3dlio_queue_close(i->queue, 1, &err));
    STATUS(S3DLIO_ERR_FORKED, s3dlio_store_get_submit(store, "fixed", i->queue, 1, NULL, &err));
    STATUS(S3DLIO_ERR_FORKED, s3dlio_op_cancel(i->op, &err));
    s3dlio_op_free(i->op);
    s3dlio_queue_free(i->queue);
    s3dlio_reader_free(i->reader);
    s3dlio_writer_free(i->writer);
    s3dlio_lister_free(i->lister);
    OK(s3dlio_store_open(b->root, b->options, &fresh, &err));
    snprintf(key, sizeof key, "child/%d", round);
    OK(s3dlio_store_put(fresh, key, key, strlen(key), NULL, 0, NULL, 0, &err));
    if (OK(s3dlio_store_get(store, key, &data, &err))) { /* the inherited store */
        CHECK(s3dlio_buffer_size(data) == strlen(key));
        s3dlio_buffer_free(data);
    }
    s3dlio_reader *reader = NULL;
    OK(s3dlio_reader_open(store, "fixed", NULL, &reader, &err));
    OK(s3dlio_reader_read(reader, byte, 1, &n, &err));
    s3dlio_reader_free(reader);
    s3dlio_queue *queue = NULL;
    OK(s3dlio_queue_new(&queue, &err));
    OK(s3dlio_store_get_submit(store, "fixed", queue, 9, NULL, &err));
    if (OK(s3dlio_queue_next(queue, -1, &event, sizeof event, &err))) {
        CHECK(event.token == 9 && event.status == S3DLIO_OK && event.bytes == 5);
        s3dlio_buffer_free(event.data);
    }
    s3dlio_queue_free(queue);
    s3dlio_store_free(fresh);
    s3dlio_store_free(store);
    if (round % 2) exit(atomic_load(&failed) != 0);
    _exit(atomic_load(&failed) != 0);
}

static void on_backend(const backend *b) {
    s3dlio_error *err = NULL;
    pthread_t threads[TRAFFIC];
    inherited i;
    char byte[4];
    size_t n;
    store = open_backend(b);
    OK(s3dlio_store_create_container(store, &err));
    OK(s3dlio_store_put(store, "fixed", "fixed", 5, NULL, 0, NULL, 0, &err));
    OK(s3dlio_reader_open(store, "fixed", NULL, &i.reader, &err));
    OK(s3dlio_writer_open(store, "parents", NULL, NULL, 0, &i.writer, &err));
    OK(s3dlio_store_list(store, "", 1, &i.lister, &err));
    OK(s3dlio_queue_new(&i.queue, &err));
    OK(s3dlio_store_get_submit(store, "fixed", i.queue, 0, &i.op, &err));
    atomic_store(&stop, 0);
    for (int t = 0; t < TRAFFIC; t++) pthread_create(&threads[t], NULL, traffic, (void *)(intptr_t)t);
    for (int round = 0; round < repeat(FORKS); round++) {
        int status = -1;
        int seen = atomic_load(&rounds);
        fflush(NULL);
        pid_t pid = fork();
        if (pid == 0) child(b, &i, round);
        CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
        check_(WIFEXITED(status) && WEXITSTATUS(status) == 0, __FILE__, __LINE__, b->root,
               WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "the child's checks failed");
        OK(s3dlio_writer_write(i.writer, "x", 1, &err));
        s3dlio_event event; /* of the get that was under way, or ended, when the child came */
        if (OK(s3dlio_queue_next(i.queue, -1, &event, sizeof event, &err))) {
            CHECK(event.token == (uint64_t)round && event.status == S3DLIO_OK);
            s3dlio_buffer_free(event.data);
        }
        s3dlio_op_free(i.op);
        OK(s3dlio_store_get_submit(store, "fixed", i.queue, (uint64_t)round + 1, &i.op, &err));
        while (atomic_load(&rounds) == seen) usleep(100); /* the traffic goes on; else the alarm comes */
    }
    atomic_store(&stop, 1);
    for (int t = 0; t < TRAFFIC; t++) pthread_join(threads[t], NULL);
    OK(s3dlio_reader_read_at(i.reader, 0, byte, 4, &n, &err));
    CHECK(n == 4 && memcmp(byte, "fixe", 4) == 0);
    s3dlio_write_stats stats;
    OK(s3dlio_writer_finish(i.writer, &stats, sizeof stats, &err));
    CHECK(stats.bytes == (uint64_t)repeat(FORKS));
    s3dlio_reader_free(i.reader);
    s3dlio_writer_free(i.writer);
    s3dlio_lister_free(i.lister);
    s3dlio_op_free(i.op);
    s3dlio_queue_free(i.queue);
    OK(s3dlio_store_delete_prefix(store, "", NULL, &err));
    s3dlio_store_free(store);
}

int main(void) {
    char folder[64];
    backend all[8];
    watchdog();
    temporary_folder(folder);
    int n = backends(all, folder, "fork");
    for (int k = 0; k < n; k++) on_backend(&all[k]);
    s3dlio_error *err = NULL;
    OK(s3dlio_shutdown(20000, &err));
    remove_folder(folder);
    return summary("fork");
}
