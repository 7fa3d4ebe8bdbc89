/* file.c - the files of POSIX systems. */
#define _FILE_OFFSET_BITS 64
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

qn_status qn_file_open(const char *path, qn_file *file)
{
    *file = (qn_file){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return qn_fail(QN_ERR_IO, "%s: %s", path, strerror(errno));
    struct stat st;
    qn_status s = qn_ok();
    if (fstat(fd, &st) != 0)
        s = qn_fail(QN_ERR_IO, "%s: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        s = qn_fail(QN_ERR_IO, "%s: not a regular file", path);
    else if ((uint64_t)st.st_size > SIZE_MAX)
        s = qn_fail(QN_ERR_LIMIT, "%s: too large for this machine's address space", path);
    else if (st.st_size > 0) {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED)
            s = qn_fail(QN_ERR_IO, "%s: cannot map: %s", path, strerror(errno));
        else {
            file->data = p;
            file->size = (uint64_t)st.st_size;
        }
    }
    close(fd);
    return s;
}

void qn_file_close(qn_file *file)
{
    if (file->data) munmap((void *)(uintptr_t)file->data, (size_t)file->size);
    *file = (qn_file){0};
}

qn_status qn_file_replace(const char *path, const void *data, size_t size)
{
    char beside[4200];
    snprintf(beside, sizeof beside, "%s.%ld.%p", path, (long)getpid(), (void *)beside);
    FILE *f = fopen(beside, "wb");
    bool written = f && fwrite(data, 1, size, f) == size;
    if (f && fclose(f) != 0) written = false;
    if (written && rename(beside, path) == 0) return qn_ok();
    qn_status s = qn_fail(QN_ERR_IO, "cannot write %s: %s", path, strerror(errno));
    remove(beside);
    return s;
}

static const void *file_read(void *user, uint64_t offset, size_t size, bool *pending, qn_status *status)
{
    const qn_file *file = user;
    *pending = false;
    if (offset > file->size || size > file->size - offset) {
        *status = qn_fail(QN_ERR_FORMAT, "range %llu+%zu is past the end of the file (%llu bytes)",
                          (unsigned long long)offset, size, (unsigned long long)file->size);
        return NULL;
    }
    *status = qn_ok();
    return file->data + offset;
}

qn_source qn_file_source(qn_file *file)
{
    return (qn_source){.user = file, .size = file->size, .read = file_read};
}
