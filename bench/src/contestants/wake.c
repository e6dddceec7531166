/* How long after a write into a pipe epoll_wait returns: the median of a batch. Usage: wake WAKER */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { WAKES_PER_BATCH = 200 };

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static int ascending(const void *left, const void *right) {
  uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
  return (a > b) - (a < b);
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  int ask[2], told[2];
  if (pipe2(ask, O_CLOEXEC) || pipe2(told, O_CLOEXEC)) fail("pipe2");
  pid_t pid = fork();
  if (pid < 0) fail("fork");
  if (pid == 0) {
    dup2(ask[0], 0);
    dup2(told[1], 1);
    execl(argv[1], argv[1], NULL);
    _exit(127);
  }
  close(ask[0]);
  close(told[1]);
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN};
  if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, told[0], &event)) fail("epoll");
  char line[16];
  while (fgets(line, sizeof line, stdin)) {
    uint64_t delays[WAKES_PER_BATCH];
    for (int wake = 0; wake < WAKES_PER_BATCH; wake++) {
      if (write(ask[1], "", 1) != 1 || epoll_wait(epoll, &event, 1, -1) != 1) fail("epoll_wait");
      struct timespec time;
      clock_gettime(CLOCK_MONOTONIC, &time);
      uint64_t written_ns;
      if (read(told[0], &written_ns, sizeof written_ns) != sizeof written_ns) fail("read");
      delays[wake] = time.tv_sec * 1000000000ull + time.tv_nsec - written_ns;
    }
    qsort(delays, WAKES_PER_BATCH, sizeof *delays, ascending);
    printf("%f\n", (double)delays[WAKES_PER_BATCH / 2]);
    fflush(stdout);
  }
}
