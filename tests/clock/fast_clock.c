// Preloaded into Envoy, makes its clock run SPEED times as fast: what would take minutes takes seconds, with every
// default of Envoy's in place. Only the monotonic clock, which Envoy's timers go by, and the wait of its event loop.
#define _GNU_SOURCE
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { SPEED = 60 };

static const long long SECOND = 1000000000;
static _Atomic long long first;

int clock_gettime(clockid_t clock, struct timespec *time) {
    int failed = (int)syscall(SYS_clock_gettime, clock, time);
    if (failed || (clock != CLOCK_MONOTONIC && clock != CLOCK_MONOTONIC_COARSE)) return failed;
    long long now = time->tv_sec * SECOND + time->tv_nsec;
    long long begin = 0;
    if (atomic_compare_exchange_strong(&first, &begin, now)) begin = now;
    // The coarse clock may be a little behind the first reading of the other one.
    now = now < begin ? begin : begin + (now - begin) * SPEED;
    time->tv_sec = now / SECOND;
    time->tv_nsec = now % SECOND;
    return 0;
}

int epoll_wait(int epoll, struct epoll_event *events, int most, int wait) {
    if (wait > 0) wait = (wait + SPEED - 1) / SPEED;
    return (int)syscall(SYS_epoll_pwait, epoll, events, most, wait, 0, 8);
}
