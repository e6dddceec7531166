/* spawn + wait in C: posix_spawn, or vfork and execve. Usage: spawn posix_spawn|vfork PROGRAM */
#define _GNU_SOURCE
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SPAWNS_PER_BATCH = 300 };

static double now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1e9 + time.tv_nsec;
}

static void fail(const char *what) {
  perror(what);
  exit(1);
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  int use_vfork = strcmp(argv[1], "vfork") == 0;
  char *child_argv[] = {argv[2], NULL};
  char *child_env[] = {NULL};
  char line[16];
  while (fgets(line, sizeof line, stdin)) {
    double start = now_ns();
    for (int spawned = 0; spawned < SPAWNS_PER_BATCH; spawned++) {
      pid_t pid;
      if (use_vfork) {
        pid = vfork();
        if (pid == 0) {
          execve(argv[2], child_argv, child_env);
          _exit(127);
        }
        if (pid < 0) fail("vfork");
      } else if (posix_spawn(&pid, argv[2], NULL, NULL, child_argv, child_env) != 0) {
        fail("posix_spawn");
      }
      int status;
      if (waitpid(pid, &status, 0) != pid || status != 0) fail("waitpid");
    }
    printf("%f\n", (now_ns() - start) / SPAWNS_PER_BATCH);
    fflush(stdout);
  }
}
