/* A disk in trouble. Preloaded in front of a process, it stands between that and the database files of one directory
 * (their names begin with "muster.db"), and does to write, fsync, ftruncate and their kin what a page of memory says
 * that the test shares (support/disk.rs). What was done is told in a log, from which any moment can be rebuilt. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

/* The same numbers as in disk.rs. */
enum operation { WRITE = 1, SYNC = 2, TRUNCATE = 4 };
enum action { NONE, FAIL, HOLD, LIE, CUT_SHORT };
enum record { RECORD_WRITE = 1, RECORD_SYNC = 2, RECORD_TRUNCATE = 3, RECORD_CREATE = 4, RECORD_REMOVE = 5 };

struct control {
    uint64_t operations, action, error, skipped, affected, milliseconds; /* the test's */
    uint64_t seen, dealt;                                                 /* ours */
};

struct entry {
    uint64_t record, name_bytes, offset, bytes;
};

static struct control *control;
static const char *directory;
static int log_file = -1;
/* Operations and their records are in one order. */
static pthread_mutex_t in_order = PTHREAD_MUTEX_INITIALIZER;

static int (*real_open)(const char *, int, ...);
static int (*real_unlink)(const char *);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_ftruncate)(int, off_t);

__attribute__((constructor)) static void begin(void) {
    real_open = dlsym(RTLD_NEXT, "open");
    real_unlink = dlsym(RTLD_NEXT, "unlink");
    real_write = dlsym(RTLD_NEXT, "write");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate");
    directory = getenv("DISK_DIRECTORY");
    const char *page = getenv("DISK_CONTROL"), *log = getenv("DISK_LOG");
    int file = page ? real_open(page, O_RDWR | O_CLOEXEC) : -1;
    void *shared = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (shared == MAP_FAILED || !directory) {
        fprintf(stderr, "disk.c: DISK_CONTROL and DISK_DIRECTORY are needed\n");
        abort();
    }
    close(file);
    control = shared;
    if (log)
        log_file = real_open(log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

/* The file's name within the directory; "" for the directory itself; NULL for whatever is none of our business. */
static const char *ours(const char *path) {
    size_t length = strlen(directory);
    if (strncmp(path, directory, length) != 0)
        return NULL;
    if (path[length] == 0)
        return "";
    path += length + 1;
    return strncmp(path, "muster.db", 9) == 0 && !strchr(path, '/') ? path : NULL;
}

static const char *name_of(int file, char *path, size_t bytes) {
    char link[32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, bytes - 1);
    if (length < 0)
        return NULL;
    path[length] = 0;
    return ours(path);
}

/* What becomes of this call. */
static enum action fate(enum operation operation) {
    if (!(__atomic_load_n(&control->operations, __ATOMIC_SEQ_CST) & operation))
        return NONE;
    uint64_t number = __atomic_fetch_add(&control->seen, 1, __ATOMIC_SEQ_CST);
    if (number < control->skipped || (control->affected && number - control->skipped >= control->affected))
        return NONE;
    enum action action = __atomic_load_n(&control->action, __ATOMIC_SEQ_CST);
    if (action != NONE)
        __atomic_fetch_add(&control->dealt, 1, __ATOMIC_SEQ_CST);
    /* Until its time is over, or the test says so. */
    for (uint64_t waited = 0; action == HOLD && waited < control->milliseconds &&
                              __atomic_load_n(&control->action, __ATOMIC_SEQ_CST) == HOLD;
         waited++)
        usleep(1000);
    return action == HOLD ? NONE : action;
}

/* The wal-index is memory that happens to have a name: nothing of it outlives the machine. */
static int is_told(const char *name) {
    size_t length = strlen(name);
    return log_file >= 0 && (length < 4 || strcmp(name + length - 4, "-shm") != 0);
}

static void tell(enum record record, const char *name, uint64_t offset, const void *data, uint64_t bytes) {
    struct entry entry = {record, strlen(name), offset, bytes};
    struct iovec parts[] = {
        {&entry, sizeof entry}, {(void *)name, entry.name_bytes}, {(void *)data, data ? bytes : 0}};
    if (writev(log_file, parts, 3) < 0)
        abort();
}

static ssize_t write_at(int file, const void *data, size_t bytes, off_t offset, int is_positioned) {
    char path[4096];
    const char *name = name_of(file, path, sizeof path);
    if (!name)
        return is_positioned ? real_pwrite(file, data, bytes, offset) : real_write(file, data, bytes);
    switch (fate(WRITE)) {
    case FAIL:
        errno = (int)control->error;
        return -1;
    case CUT_SHORT:
        bytes = bytes > 1 ? bytes / 2 : bytes;
        break;
    case LIE:
        if (!is_positioned)
            lseek(file, (off_t)bytes, SEEK_CUR);
        return (ssize_t)bytes;
    default:
        break;
    }
    if (!is_told(name))
        return is_positioned ? real_pwrite(file, data, bytes, offset) : real_write(file, data, bytes);
    pthread_mutex_lock(&in_order);
    if (!is_positioned)
        offset = lseek(file, 0, SEEK_CUR);
    ssize_t written = is_positioned ? real_pwrite(file, data, bytes, offset) : real_write(file, data, bytes);
    int error = errno;
    if (written > 0)
        tell(RECORD_WRITE, name, (uint64_t)offset, data, (uint64_t)written);
    pthread_mutex_unlock(&in_order);
    errno = error;
    return written;
}

ssize_t write(int file, const void *data, size_t bytes) { return write_at(file, data, bytes, 0, 0); }

ssize_t pwrite(int file, const void *data, size_t bytes, off_t offset) { return write_at(file, data, bytes, offset, 1); }

ssize_t pwrite64(int file, const void *data, size_t bytes, off64_t offset) {
    return write_at(file, data, bytes, offset, 1);
}

static int sync_with(int file, int (*real)(int)) {
    char path[4096];
    const char *name = name_of(file, path, sizeof path);
    if (!name)
        return real(file);
    switch (fate(SYNC)) {
    case FAIL:
        errno = (int)control->error;
        return -1;
    case LIE:
        return 0;
    default:
        break;
    }
    if (!is_told(name))
        return real(file);
    pthread_mutex_lock(&in_order);
    int result = real(file), error = errno;
    if (result == 0)
        tell(RECORD_SYNC, name, 0, NULL, 0);
    pthread_mutex_unlock(&in_order);
    errno = error;
    return result;
}

int fsync(int file) { return sync_with(file, real_fsync); }

int fdatasync(int file) { return sync_with(file, real_fdatasync); }

int ftruncate(int file, off_t bytes) {
    char path[4096];
    const char *name = name_of(file, path, sizeof path);
    if (!name)
        return real_ftruncate(file, bytes);
    if (fate(TRUNCATE) == FAIL) {
        errno = (int)control->error;
        return -1;
    }
    if (!is_told(name))
        return real_ftruncate(file, bytes);
    pthread_mutex_lock(&in_order);
    int result = real_ftruncate(file, bytes), error = errno;
    if (result == 0)
        tell(RECORD_TRUNCATE, name, 0, NULL, (uint64_t)bytes);
    pthread_mutex_unlock(&in_order);
    errno = error;
    return result;
}

int ftruncate64(int file, off64_t bytes) { return ftruncate(file, bytes); }

static int open_with(const char *path, int flags, mode_t mode) {
    const char *name = flags & O_CREAT ? ours(path) : NULL;
    if (!name || !is_told(name))
        return real_open(path, flags, mode);
    pthread_mutex_lock(&in_order);
    int was_there = access(path, F_OK) == 0;
    int file = real_open(path, flags, mode), error = errno;
    if (file >= 0 && !was_there)
        tell(RECORD_CREATE, name, 0, NULL, 0);
    pthread_mutex_unlock(&in_order);
    errno = error;
    return file;
}

static int has_mode(int flags) { return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE; }

int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = has_mode(flags) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return open_with(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = has_mode(flags) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return open_with(path, flags | O_LARGEFILE, mode);
}

int unlink(const char *path) {
    const char *name = ours(path);
    if (!name || !is_told(name))
        return real_unlink(path);
    pthread_mutex_lock(&in_order);
    int result = real_unlink(path), error = errno;
    if (result == 0)
        tell(RECORD_REMOVE, name, 0, NULL, 0);
    pthread_mutex_unlock(&in_order);
    errno = error;
    return result;
}
