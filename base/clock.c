// SPDX-License-Identifier: Apache-2.0
// The system's clocks, or a test's; and the monotonic time that a scheduler keeps for a turn.
#include "base/clock.h"

#include <stddef.h>
#include <time.h>

#include "base/must.h"

static _Thread_local struct clock_fake *injected; // borrowed from the test
static _Thread_local int64_t turn_ms;             // 0: this thread has no turns

static int64_t system_ms(clockid_t clock)
{
	struct timespec now;
	must(clock_gettime(clock, &now) == 0);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t clock_mono_exact_ms(void)
{
	if (injected)
		return injected->mono_ms;
	int64_t now_ms = system_ms(CLOCK_BOOTTIME);
	return now_ms > 0 ? now_ms : 1; // in the machine's first millisecond; 0 is kept for "never measured"
}

int64_t clock_mono_ms(void)
{
	return turn_ms && !injected ? turn_ms : clock_mono_exact_ms();
}

int64_t clock_wall_ms(void)
{
	return injected ? injected->wall_ms : system_ms(CLOCK_REALTIME);
}

int64_t clock_after_ms(int64_t delay_ms)
{
	int64_t now_ms = clock_mono_ms();
	if (delay_ms <= 0)
		return now_ms;
	return delay_ms >= CLOCK_NEVER - now_ms ? CLOCK_NEVER : now_ms + delay_ms;
}

void clock_inject(struct clock_fake *fake)
{
	injected = fake;
}

void clock_turn_begins(void)
{
	turn_ms = clock_mono_exact_ms();
}

void clock_turns_end(void)
{
	turn_ms = 0;
}
