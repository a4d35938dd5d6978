// SPDX-License-Identifier: Apache-2.0
// What time it is: a monotonic clock for deadlines, a wall clock for dates. Both can be replaced, per thread, by one that a test
// moves.
//
//     int64_t deadline_ms = clock_mono_ms() + 300000;
//     fiber_wait(io, FIBER_READABLE, deadline_ms);
//
//     struct clock_fake fake = {.mono_ms = 1000, .wall_ms = 1700000000000};
//     clock_inject(&fake);                     // this thread now lives in fake; the test adds to its fields
//     ...
//     clock_inject(NULL);
//
// The monotonic clock is CLOCK_BOOTTIME: it counts while the machine sleeps, never jumps, and means nothing on another machine or
// after a restart of this one: it never goes to disk. Nothing here blocks or fails.
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

// No deadline. Deadlines are absolute values of clock_mono_ms().
#define CLOCK_NEVER INT64_MAX

struct clock_fake {
	int64_t mono_ms;
	int64_t wall_ms;
};

// Milliseconds of the monotonic clock, always above 0. On a scheduler thread it is read once a turn and then stands still: cheap,
// and a turn sees one time. A fiber that computes for long and wants to know uses clock_mono_exact_ms.
int64_t clock_mono_ms(void);
int64_t clock_mono_exact_ms(void);

// Milliseconds since 1970 in UTC. It may jump; nothing is timed with it.
int64_t clock_wall_ms(void);

// Deadline in delay_ms milliseconds from now; a negative delay is now, a sum too large is CLOCK_NEVER.
int64_t clock_after_ms(int64_t delay_ms);

// The earlier of two deadlines.
static inline int64_t clock_earlier(int64_t a_ms, int64_t b_ms)
{
	return a_ms < b_ms ? a_ms : b_ms;
}

// This thread's clocks are *fake (borrowed until the next call) from now on; NULL gives it the system's again.
void clock_inject(struct clock_fake *fake);

// For the scheduler: read the monotonic clock anew and keep it until the next call; and stop keeping it.
void clock_turn_begins(void);
void clock_turns_end(void);

#endif
