/* SPDX-License-Identifier: MIT */
/* Preloaded into the program under test: the KUDO_FAIL_AT'th of its calls that write to the disk fails with the errno
 * KUDO_FAIL_WITH. Counted are write, fsync, rename and openat or open with O_CREAT, on files below KUDO_FAIL_BELOW; with
 * KUDO_FAIL_BPF also bpf(2) where it makes, changes or deletes something. With KUDO_FAIL_ALL the later ones fail too.
 * KUDO_FAIL_COUNT names a file into which the number of such calls is written at the end. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int calls;

static int number_of(const char *name)
{
	const char *text = getenv(name);
	return text ? atoi(text) : -1;
}

static int is_below(const char *path)
{
	const char *folder = getenv("KUDO_FAIL_BELOW");
	return folder && path && strncmp(path, folder, strlen(folder)) == 0;
}

static int is_fd_below(int fd)
{
	char link[64], path[PATH_MAX + 1];
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t length = readlink(link, path, PATH_MAX);
	if (length < 0)
		return 0;
	path[length] = 0;
	return is_below(path);
}

/* Counts a call; 1: it is the one that fails. */
static int fails(void)
{
	int at = number_of("KUDO_FAIL_AT");

	calls++;
	if (getenv("KUDO_FAIL_ALL") ? at <= 0 || calls < at : calls != at)
		return 0;
	errno = number_of("KUDO_FAIL_WITH");
	return 1;
}

ssize_t write(int fd, const void *bytes, size_t size)
{
	ssize_t (*real)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
	if (is_fd_below(fd) && fails())
		return -1;
	return real(fd, bytes, size);
}

int fsync(int fd)
{
	int (*real)(int) = dlsym(RTLD_NEXT, "fsync");
	if (is_fd_below(fd) && fails())
		return -1;
	return real(fd);
}

int rename(const char *from, const char *to)
{
	int (*real)(const char *, const char *) = dlsym(RTLD_NEXT, "rename");
	if (is_below(to) && fails())
		return -1;
	return real(from, to);
}

int open(const char *path, int flags, ...)
{
	int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
	va_list arguments;
	va_start(arguments, flags);
	mode_t mode = (flags & O_CREAT) ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	if ((flags & O_CREAT) && is_below(path) && fails())
		return -1;
	return real(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	va_list arguments;
	va_start(arguments, flags);
	mode_t mode = (flags & O_CREAT) ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	return open(path, flags, mode);
}

/* linux/bpf.h, enum bpf_cmd. Not BPF_PROG_TEST_RUN and what only asks. */
static int changes(long command)
{
	switch (command) {
	case 0:  /* BPF_MAP_CREATE */
	case 2:  /* BPF_MAP_UPDATE_ELEM */
	case 3:  /* BPF_MAP_DELETE_ELEM */
	case 5:  /* BPF_PROG_LOAD */
	case 6:  /* BPF_OBJ_PIN */
	case 8:  /* BPF_PROG_ATTACH */
	case 9:  /* BPF_PROG_DETACH */
	case 17: /* BPF_RAW_TRACEPOINT_OPEN */
	case 26: /* BPF_MAP_UPDATE_BATCH */
	case 27: /* BPF_MAP_DELETE_BATCH */
	case 28: /* BPF_LINK_CREATE */
	case 29: /* BPF_LINK_UPDATE */
	case 34: /* BPF_LINK_DETACH */
		return 1;
	default:
		return 0;
	}
}

long syscall(long number, ...)
{
	long (*real)(long, ...) = dlsym(RTLD_NEXT, "syscall");
	long a[6];
	va_list arguments;
	va_start(arguments, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(arguments, long);
	va_end(arguments);
	if (number == SYS_bpf && getenv("KUDO_FAIL_BPF") && changes(a[0]) && fails())
		return -1;
	return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

__attribute__((destructor)) static void tell(void)
{
	const char *path = getenv("KUDO_FAIL_COUNT");
	FILE *file = path ? fopen(path, "w") : NULL;
	if (!file)
		return;
	fprintf(file, "%d\n", calls);
	fclose(file);
}
