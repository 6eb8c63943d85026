/* Preloaded into a server: writes a line `inode birth size` to $FSYNC_LOG for each fsync and fdatasync that succeeded:
 * when the file was born, in nanoseconds, since inodes are used again, and the size that it had before. While the file $FSYNC_FAILS exists, both fail with EIO instead. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int synced(const char *name, int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    const char *fails = getenv("FSYNC_FAILS"), *path = getenv("FSYNC_LOG");
    if (fails && access(fails, F_OK) == 0) {
        errno = EIO;
        return -1;
    }
    struct statx before;
    int known = statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &before) == 0 && S_ISREG(before.stx_mode);
    int result = real(fd);
    if (result == 0 && known && path) {
        char line[96];
        unsigned long long born =
            before.stx_mask & STATX_BTIME ? before.stx_btime.tv_sec * 1000000000ULL + before.stx_btime.tv_nsec : 0;
        int length = snprintf(line, sizeof line, "%llu %llu %llu\n", (unsigned long long)before.stx_ino, born,
                              (unsigned long long)before.stx_size);
        int log = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        /* a line that is missing looks like an fsync that did not happen: the test fails rather than passes */
        if (log >= 0) {
            if (write(log, line, length) != length) abort();
            close(log);
        }
    }
    return result;
}

int fsync(int fd) { return synced("fsync", fd); }
int fdatasync(int fd) { return synced("fdatasync", fd); }
