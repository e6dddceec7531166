/* Writes the time into standard output, 0.2 ms after each byte of standard input: by then the other end waits. */
#include <stdint.h>
#include <time.h>
#include <unistd.h>

int main(void) {
  char byte;
  while (read(0, &byte, 1) == 1) {
    struct timespec pause = {0, 200000}, time;
    nanosleep(&pause, NULL);
    clock_gettime(CLOCK_MONOTONIC, &time);
    uint64_t now_ns = time.tv_sec * 1000000000ull + time.tv_nsec;
    if (write(1, &now_ns, sizeof now_ns) != sizeof now_ns) return 1;
  }
}
