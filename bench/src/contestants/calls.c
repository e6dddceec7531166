/* One system call again and again: the loops that the others are measured against.
   Usage: calls getppid|read|statx [threads]: with another thread, which sleeps, in the process. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { CALLS_PER_BATCH = 200000 };

static double now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1e9 + time.tv_nsec;
}

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void getppids(void) {
  for (int call = 0; call < CALLS_PER_BATCH; call++) getppid();
}

static void reads(int zero) {
  char byte;
  for (int call = 0; call < CALLS_PER_BATCH; call++)
    if (read(zero, &byte, 1) != 1) fail("read");
}

static void statxs(void) {
  struct statx buffer;
  for (int call = 0; call < CALLS_PER_BATCH; call++)
    if (statx(AT_FDCWD, "/dev/zero", 0, STATX_BASIC_STATS, &buffer) != 0) fail("statx");
}

static void *sleeper(void *unused) {
  for (;;) pause();
  return unused;
}

int main(int argc, char **argv) {
  if (argc < 2) return 2;
  pthread_t thread;
  if (argc > 2 && pthread_create(&thread, NULL, sleeper, NULL) != 0) fail("pthread_create");
  int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
  if (zero < 0) fail("/dev/zero");
  char line[16];
  while (fgets(line, sizeof line, stdin)) {
    double start = now_ns();
    if (strcmp(argv[1], "getppid") == 0) getppids();
    else if (strcmp(argv[1], "read") == 0) reads(zero);
    else if (strcmp(argv[1], "statx") == 0) statxs();
    else return 2;
    printf("%f\n", (now_ns() - start) / CALLS_PER_BATCH);
    fflush(stdout);
  }
}
