/* Loaded before the C library: every fsync and fdatasync takes longer, or fails, as the file named by STALL says at that
 * moment: "SHORTEST LONGEST FAILING", milliseconds and per mille. Without the file nothing is changed. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static uint64_t dice(void) {
    static _Thread_local uint64_t state;
    if (state == 0) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        state = (uint64_t)now.tv_nsec * 2654435761u + (uint64_t)syscall(SYS_gettid) + 1;
    }
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* Whether the sync is to fail; waits before it says so. */
static int fails(void) {
    const char *path = getenv("STALL");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) {
        return 0;
    }
    char text[64];
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    unsigned shortest = 0, longest = 0, failing = 0;
    text[length > 0 ? length : 0] = 0;
    if (sscanf(text, "%u %u %u", &shortest, &longest, &failing) != 3) {
        return 0;
    }
    uint64_t ms = shortest + (longest > shortest ? dice() % (longest - shortest + 1) : 0);
    struct timespec left = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
    return dice() % 1000 < failing;
}

int fdatasync(int file) {
    if (fails()) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, file);
}

int fsync(int file) {
    if (fails()) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fsync, file);
}
