/* What the machine allows: the same work as client.c's by bare system calls, with nothing signed, parsed,
   retried or allocated on the way.

   limit OPERATION [port=N] [path=/PREFIX] [folder=PATH] [count=N] [size=BYTES] [distinct=N] [threads=N] [passes=N]
     get           GETs over one kept connection per thread, prepared requests
     get_ranges    the same of one object, `count` ranges of `size` bytes, each into its place
     put           PUTs, head and body in one writev
     files         opens, reads and closes files of `size` bytes
     read          preads one file of count x size bytes, in blocks of `size`, into its place
     save          writes count x size bytes into a new file, in blocks of `size`, and flushes it
     copy          copies count x size bytes into memory that is used again (with depth=N: that is new)
     direct_read   reads one file of count x size bytes with O_DIRECT by io_uring, depth=N
     direct_write  writes one so, into a new, allocated file, and flushes it
     crc           a CRC32C pass over the payload of every put
     make          makes the files 0..count in the folder (with depth=N: written to the device)

   Prints one line of JSON. */
#define _GNU_SOURCE
#include "common.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { HEAD = 8192 }; /* the most that is read before the head's end is known */

static char **request;     /* per index: the head of a request, or a file's path */
static char **destination; /* per thread */
static char *scratch;      /* per thread: HEAD bytes */
static int *connection;    /* per thread */
static char *whole;        /* count x size bytes, or a put's payload */
static const char *folder;
static int file;

static char *format(const char *pattern, ...) {
    char *out = NULL;
    va_list values;
    va_start(values, pattern);
    if (vasprintf(&out, pattern, values) < 0) die("no memory");
    va_end(values);
    return out;
}

/* ---- HTTP */

static int dial(void) {
    int one = 1, out = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(number("port", 80))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (out < 0 || connect(out, (struct sockaddr *)&address, sizeof address)) die("connect: %s", strerror(errno));
    setsockopt(out, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return out;
}

/* Receives an answer whose body has `length` bytes; the body goes to `body`. */
static void receive(size_t thread, char *body, size_t length) {
    char *head = scratch + thread * HEAD, *end = NULL;
    size_t have = 0;
    while (!end) {
        ssize_t got = recv(connection[thread], head + have, HEAD - have, 0);
        if (got <= 0) die("no head: %s", got ? strerror(errno) : "closed");
        have += got;
        end = memmem(head, have, "\r\n\r\n", 4);
        if (!end && have == HEAD) die("the head is too long");
    }
    if (head[9] != '2') die("answer: %.*s", (int)(strchr(head, '\r') - head), head);
    size_t done = have - (end + 4 - head);
    if (done > length) die("%zu bytes too much", done - length);
    memcpy(body, end + 4, done);
    while (done < length) {
        ssize_t got = recv(connection[thread], body + done, length - done, 0);
        if (got <= 0) die("body ends at %zu: %s", done, got ? strerror(errno) : "closed");
        done += got;
    }
}

static void transmit(size_t thread, struct iovec *part, int parts) {
    while (parts) {
        ssize_t sent = writev(connection[thread], part, parts);
        if (sent < 0) die("writev: %s", strerror(errno));
        for (; parts && (size_t)sent >= part->iov_len; part++, parts--) sent -= part->iov_len;
        if (parts) part->iov_base = (char *)part->iov_base + sent, part->iov_len -= sent;
    }
}

static void get_one(size_t index, size_t thread) {
    transmit(thread, &(struct iovec){request[index], strlen(request[index])}, 1);
    receive(thread, destination[thread], size);
    if (checking) check(destination[thread], size, index % distinct, 0);
}

static void get_range(size_t index, size_t thread) {
    char *place = whole + index * size;
    transmit(thread, &(struct iovec){request[index], strlen(request[index])}, 1);
    receive(thread, place, size);
    if (checking) check(place, size, 0, index * size);
}

static void put_one(size_t index, size_t thread) {
    struct iovec parts[] = {{request[index], strlen(request[index])}, {whole, size}};
    transmit(thread, parts, 2);
    receive(thread, whole, 0);
}

static void get(void) { spread(get_one); }
static void get_ranges(void) { spread(get_range); }
static void put(void) { spread(put_one); }

static void connect_all(void) {
    connection = calloc(threads, sizeof *connection);
    scratch = memory(threads * HEAD);
    for (size_t i = 0; i < threads; i++) connection[i] = dial();
}

/* ---- files */

static int open_file(const char *path, int flags) {
    int out = open(path, flags | O_CLOEXEC, 0600);
    if (out < 0) die("%s: %s", path, strerror(errno));
    return out;
}

static void whole_file(size_t index, size_t thread) {
    int from = open_file(request[index], O_RDONLY);
    if (read(from, destination[thread], size) != (ssize_t)size) die("%s is shorter", request[index]);
    close(from);
    if (checking) check(destination[thread], size, index % distinct, 0);
}

static void block(size_t index, size_t thread) {
    (void)thread;
    char *place = whole + index * size;
    if (pread(file, place, size, index * size) != (ssize_t)size) die("the file is shorter");
    if (checking) check(place, size, 0, index * size);
}

static void files(void) { spread(whole_file); }

static void read_file(void) {
    file = open_file(request[0], O_RDONLY);
    spread(block);
    close(file);
}

/* Each pass writes a file of its own; the one before goes unmeasured. */
static void save(void) {
    static size_t pass;
    char *path = format("%s/%zu", folder, pass++);
    file = open_file(path, O_WRONLY | O_CREAT | O_EXCL);
    for (size_t done = 0; done < count * size;) {
        size_t left = count * size - done;
        ssize_t wrote = write(file, whole + done, left < size ? left : size);
        if (wrote < 0) die("%s: %s", path, strerror(errno));
        done += wrote;
    }
    if (fsync(file)) die("%s: %s", path, strerror(errno));
    close(file);
    int above = open_file(folder, O_RDONLY | O_DIRECTORY);
    if (fsync(above)) die("%s: %s", folder, strerror(errno));
    close(above);
    double since = seconds();
    if (unlink(path)) die("%s: %s", path, strerror(errno));
    unmeasured += seconds() - since;
    free(path);
}

static void copy(void) {
    static char *to;
    size_t bytes = count * size;
    if (!to || number("depth", 0)) {
        to = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (to == MAP_FAILED) die("no memory for %zu bytes", bytes);
        madvise(to, bytes, MADV_HUGEPAGE);
    }
    memcpy(to, whole, bytes);
    if (number("depth", 0)) {
        double since = seconds();
        munmap(to, bytes);
        unmeasured += seconds() - since;
    }
}

static void make(void) {
    char *data = memory(size);
    for (size_t i = 0; i < count; i++) {
        char *path = format("%s/%zu", folder, i);
        int out = open_file(path, O_WRONLY | O_CREAT | O_TRUNC);
        fill(data, size, i);
        for (size_t done = 0; done < size;) {
            ssize_t wrote = write(out, data + done, size - done);
            if (wrote < 0) die("%s: %s", path, strerror(errno));
            done += wrote;
        }
        if (number("depth", 0) && fsync(out)) die("%s: %s", path, strerror(errno));
        close(out);
        free(path);
    }
}

/* ---- io_uring */

static struct {
    int fd;
    unsigned *sq_tail, *sq_mask, *sq_array, *cq_head, *cq_tail, *cq_mask;
    struct io_uring_sqe *entry;
    struct io_uring_cqe *event;
} ring;

static void *ring_map(size_t bytes, off_t offset) {
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring.fd, offset);
    if (at == MAP_FAILED) die("mmap of io_uring: %s", strerror(errno));
    return at;
}

static void open_ring(unsigned depth) {
    struct io_uring_params p = {0};
    ring.fd = syscall(SYS_io_uring_setup, depth, &p);
    if (ring.fd < 0) die("io_uring_setup: %s", strerror(errno));
    char *sq = ring_map(p.sq_off.array + p.sq_entries * sizeof(unsigned), IORING_OFF_SQ_RING);
    char *cq = ring_map(p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe), IORING_OFF_CQ_RING);
    ring.entry = ring_map(p.sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
    ring.sq_tail = (unsigned *)(sq + p.sq_off.tail), ring.sq_mask = (unsigned *)(sq + p.sq_off.ring_mask);
    ring.sq_array = (unsigned *)(sq + p.sq_off.array);
    ring.cq_head = (unsigned *)(cq + p.cq_off.head), ring.cq_tail = (unsigned *)(cq + p.cq_off.tail);
    ring.cq_mask = (unsigned *)(cq + p.cq_off.ring_mask);
    ring.event = (struct io_uring_cqe *)(cq + p.cq_off.cqes);
}

/* Moves all blocks, `depth` of them at a time. */
static void move_blocks(int opcode, size_t depth) {
    size_t queued = 0, done = 0;
    while (done < count) {
        unsigned fresh = 0, tail = *ring.sq_tail;
        for (; queued < count && queued - done < depth; queued++, fresh++, tail++) {
            unsigned slot = tail & *ring.sq_mask;
            ring.entry[slot] = (struct io_uring_sqe){
                .opcode = opcode, .fd = file, .off = queued * size, .len = size, .addr = (uintptr_t)(whole + queued * size)};
            ring.sq_array[slot] = slot;
        }
        __atomic_store_n(ring.sq_tail, tail, __ATOMIC_RELEASE);
        if (syscall(SYS_io_uring_enter, ring.fd, fresh, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0 && errno != EINTR)
            die("io_uring_enter: %s", strerror(errno));
        unsigned head = *ring.cq_head, end = __atomic_load_n(ring.cq_tail, __ATOMIC_ACQUIRE);
        for (; head != end; head++, done++) {
            int moved = ring.event[head & *ring.cq_mask].res;
            if (moved != (int)size) die("a block of %zu bytes moved %d: %s", size, moved, moved < 0 ? strerror(-moved) : "short");
        }
        __atomic_store_n(ring.cq_head, head, __ATOMIC_RELEASE);
    }
}

static void direct_read(void) {
    file = open_file(request[0], O_RDONLY | O_DIRECT);
    move_blocks(IORING_OP_READ, number("depth", 1));
    close(file);
    if (checking) check(whole, count * size, 0, 0);
}

static void direct_write(void) {
    unlink(request[0]);
    file = open_file(request[0], O_WRONLY | O_CREAT | O_DIRECT);
    if (fallocate(file, 0, 0, count * size)) die("%s: %s", request[0], strerror(errno));
    move_blocks(IORING_OP_WRITE, number("depth", 1));
    if (fsync(file)) die("%s: %s", request[0], strerror(errno));
    close(file);
}

/* ---- CRC32C: four streams at once, as one waits for the instruction's latency */

#if defined(__x86_64__)
#include <nmmintrin.h>
#define CRC_TARGET __attribute__((target("sse4.2")))
#define CRC(state, value) _mm_crc32_u64(state, value)
#elif defined(__aarch64__)
#include <arm_acle.h>
#define CRC_TARGET __attribute__((target("+crc")))
#define CRC(state, value) __crc32cd(state, value)
#endif

static volatile uint64_t sink;

CRC_TARGET static void crc_one(size_t index, size_t thread) {
    (void)index, (void)thread;
    size_t words = size / 32;
    const uint64_t *a = (const uint64_t *)whole, *b = a + words, *c = b + words, *d = c + words;
    uint64_t state[4] = {0};
    for (size_t i = 0; i < words; i++) {
        state[0] = CRC(state[0], a[i]), state[1] = CRC(state[1], b[i]);
        state[2] = CRC(state[2], c[i]), state[3] = CRC(state[3], d[i]);
    }
    sink = state[0] ^ state[1] ^ state[2] ^ state[3];
}

static void crc(void) { spread(crc_one); }

int main(int argc, char **argv) {
    read_arguments(argc, argv);
    const char *operation = argv[1], *path = text("path", "");
    folder = text("folder", "");
    if (!strcmp(operation, "make")) return make(), 0;

    int is_get = !strcmp(operation, "get"), is_put = !strcmp(operation, "put"), is_range = !strcmp(operation, "get_ranges");
    request = calloc(count, sizeof *request);
    for (size_t i = 0; i < count; i++)
        request[i] = is_get   ? format("GET %s/%zu HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", path, i % distinct)
                     : is_range ? format("GET %s/0 HTTP/1.1\r\nHost: 127.0.0.1\r\nRange: bytes=%zu-%zu\r\n\r\n", path, i * size, (i + 1) * size - 1)
                     : is_put   ? format("PUT %s/%zu HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %zu\r\n\r\n", path, i % distinct, size)
                                : format("%s/%zu", folder, i % distinct);
    if (is_get || !strcmp(operation, "files")) {
        destination = calloc(threads, sizeof *destination);
        for (size_t i = 0; i < threads; i++) destination[i] = memory(size);
    } else {
        int payload = is_put || !strcmp(operation, "crc");
        whole = memory(payload ? size : count * size);
        fill(whole, payload ? size : count * size, 0);
    }
    if (is_get || is_put || is_range) connect_all();
    if (!strncmp(operation, "direct", 6)) open_ring(number("depth", 1));

    if (is_get) return measure(get), 0;
    if (is_put) return measure(put), 0;
    if (is_range) return measure(get_ranges), 0;
    if (!strcmp(operation, "files")) return measure(files), 0;
    if (!strcmp(operation, "read")) return measure(read_file), 0;
    if (!strcmp(operation, "save")) return measure(save), 0;
    if (!strcmp(operation, "copy")) return measure(copy), 0;
    if (!strcmp(operation, "direct_read")) return measure(direct_read), 0;
    if (!strcmp(operation, "direct_write")) return measure(direct_write), 0;
    if (!strcmp(operation, "crc")) return measure(crc), 0;
    die("%s: there is no such operation", operation);
}
