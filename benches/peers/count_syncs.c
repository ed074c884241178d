/* Counts how often a process and its children ask for data to be on the disk: loaded before the C
 * library (LD_PRELOAD), it appends a byte to the file SYNCS names for each such call, so that the
 * file's length is the count. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static void count(void) {
    const char *path = getenv("SYNCS");
    int file = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644) : -1;
    if (file >= 0) {
        ssize_t written = write(file, ".", 1);
        (void)written;
        close(file);
    }
}

#define COUNTED(name, parameters, arguments)                               \
    int name parameters {                                                  \
        int(*original) parameters = (int(*) parameters)dlsym(RTLD_NEXT, #name); \
        count();                                                           \
        return original arguments;                                         \
    }

COUNTED(fsync, (int file), (file))
COUNTED(fdatasync, (int file), (file))
COUNTED(syncfs, (int file), (file))

int msync(void *start, size_t length, int flags) {
    int (*original)(void *, size_t, int) = (int (*)(void *, size_t, int))dlsym(RTLD_NEXT, "msync");
    if (flags & MS_SYNC) {
        count();
    }
    return original(start, length, flags);
}
