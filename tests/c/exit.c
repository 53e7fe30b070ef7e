/* Leaving the program with live handles while other threads are transferring: by return, exit, exit on
 * another thread, exit in an atexit function that still uses the library. No crash, no hang. */
#include "test.h"

#include <spawn.h>

extern char **environ;

enum { THREADS = 4, EACH = 10, SIZE = 2 << 20 };
static const char *const ways[] = {"return", "exit", "thread", "atexit", "shutdown", "pthread_exit"};
enum { WAYS = sizeof ways / sizeof ways[0] };

static s3dlio_store *stores[8];
static int store_count;
static atomic_int started;
static s3dlio_writer *open_writer;

static void *transfer(void *number) {
    s3dlio_buffer *data = NULL;
    s3dlio_error *err = NULL;
    char key[32];
    unsigned char *bytes = malloc(SIZE);
    s3dlio_store *store = stores[(intptr_t)number % store_count];
    fill(bytes, SIZE, 1);
    snprintf(key, sizeof key, "k%d", (int)(intptr_t)number);
    for (;;) {
        s3dlio_writer *writer = NULL;
        s3dlio_store_put(store, key, bytes, SIZE, NULL, 0, NULL, 0, &err);
        s3dlio_error_free(err);
        s3dlio_writer_open(store, key, NULL, NULL, 0, &writer, NULL);
        s3dlio_writer_write(writer, bytes, SIZE, NULL);
        s3dlio_writer_free(writer);
        s3dlio_store_get(store, key, &data, NULL);
        s3dlio_buffer_free(data);
        atomic_fetch_add(&started, 1);
    }
    return NULL;
}

static void use_at_exit(void) {
    s3dlio_buffer *data = NULL;
    s3dlio_put("memory://late/x", NULL, "x", 1, NULL);
    s3dlio_get("memory://late/x", NULL, &data, NULL);
    s3dlio_writer_free(open_writer);
    for (int i = 0; i < store_count; i++) s3dlio_store_free(stores[i]);
}

static void *exit_here(void *unused) {
    (void)unused;
    exit(0);
}

static int child(const char *way, const char *folder) {
    backend all[8];
    s3dlio_error *err = NULL;
    s3dlio_reader *reader = NULL;
    s3dlio_lister *lister = NULL;
    pthread_t thread;
    void *room;
    size_t capacity;
    alarm(60);
    store_count = backends(all, folder, "exit");
    for (int i = 0; i < store_count; i++) {
        stores[i] = open_backend(&all[i]);
        s3dlio_store_create_container(stores[i], NULL);
        OK(s3dlio_store_put(stores[i], "r", "r", 1, NULL, 0, NULL, 0, &err));
    }
    OK(s3dlio_reader_open(stores[store_count - 1], "r", NULL, &reader, &err));
    OK(s3dlio_store_list(stores[store_count - 1], "", 1, &lister, &err));
    OK(s3dlio_writer_open(stores[store_count - 1], "w", NULL, NULL, 0, &open_writer, &err));
    OK(s3dlio_writer_reserve(open_writer, SIZE, &room, &capacity, &err));
    for (int t = 0; t < THREADS; t++) {
        pthread_create(&thread, NULL, transfer, (void *)(intptr_t)t);
        pthread_detach(thread);
    }
    while (atomic_load(&started) < 2 * THREADS) usleep(200);
    if (atomic_load(&failed)) return 1;
    if (strcmp(way, "exit") == 0) exit(0);
    if (strcmp(way, "atexit") == 0) {
        atexit(use_at_exit);
        exit(0);
    }
    if (strcmp(way, "thread") == 0) {
        pthread_create(&thread, NULL, exit_here, NULL);
        pthread_join(thread, NULL);
    }
    if (strcmp(way, "shutdown") == 0) { /* the transfers never end: a short wait gives up or not */
        int32_t status = s3dlio_shutdown(50, NULL);
        return status != S3DLIO_OK && status != S3DLIO_ERR_TIMEOUT;
    }
    if (strcmp(way, "pthread_exit") == 0) {
        pthread_create(&thread, NULL, exit_here, NULL);
        pthread_exit(NULL);
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc > 2) return child(argv[1], argv[2]);
    char folder[64];
    watchdog();
    temporary_folder(folder);
    for (int round = 0; round < repeat(EACH); round++) {
        for (int w = 0; w < WAYS; w++) {
            char *arguments[] = {argv[0], (char *)ways[w], folder, NULL};
            pid_t pid;
            int status = -1;
            CHECK(posix_spawn(&pid, argv[0], NULL, NULL, arguments, environ) == 0);
            CHECK(waitpid(pid, &status, 0) == pid);
            check_(WIFEXITED(status) && WEXITSTATUS(status) == 0, __FILE__, __LINE__, ways[w],
                   WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "a status that is not 0");
        }
    }
    remove_folder(folder);
    return summary("exit");
}
