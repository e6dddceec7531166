/* getppid in C: the loop that the others are measured against. */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { CALLS_PER_BATCH = 200000 };

static double now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1e9 + time.tv_nsec;
}

int main(void) {
  char line[16];
  while (fgets(line, sizeof line, stdin)) {
    double start = now_ns();
    for (int call = 0; call < CALLS_PER_BATCH; call++) getppid();
    printf("%f\n", (now_ns() - start) / CALLS_PER_BATCH);
    fflush(stdout);
  }
}
