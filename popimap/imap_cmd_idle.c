// SPDX-License-Identifier: Apache-2.0
// IDLE (RFC 2177): the client sleeps, we tell it at once what changes. Only DONE ends it.
//
// An idle session holds its map and its connection, nothing else: the command's arena is emptied after each telling, the buffers
// go back while it waits. News comes from the watch as a message to this fiber; every two minutes without any, a line keeps the
// NAT boxes on the way from forgetting the connection (PROTOCOLS 17).
#include "base/clock.h"
#include "base/fiber.h"
#include "imap_session.h"
#include "popimap_metrics.h"

enum { KEEPALIVE_MS = 120 * 1000 };

// Waits until there is a line to read. False: the session is over, BYE is said.
static bool wait_for_line(struct imap_session *s, struct imap_command *c)
{
	int64_t end_ms = clock_after_ms(s->settings->imap_idle_s * 1000);
	for (;;) {
		// First look, then wait: what came between the last command and IDLE is told now (PROTOCOLS 16).
		if (!imap_tell(s, c->arena, NULL, true, false))
			return false;
		arena_release(c->arena);
		if (conn_flush(s->conn, &s->err)) {
			imap_enter(s, IMAP_ENDED);
			return false;
		}
		fiber_shield_leave();
		unsigned got =
			conn_wait(s->conn, FIBER_READABLE | FIBER_MESSAGE, clock_earlier(end_ms, clock_after_ms(KEEPALIVE_MS)));
		fiber_shield_enter();
		if (got & FIBER_READABLE)
			return true;
		if (got & FIBER_CANCELLED) {
			imap_bye(s, IMAP_CODE_UNAVAILABLE, "server is stopping");
			return false;
		}
		if ((got & FIBER_TIMEOUT) && clock_mono_ms() >= end_ms) {
			imap_bye(s, IMAP_CODE_NONE, "autologout, idle for too long");
			return false;
		}
		if (got & FIBER_TIMEOUT)
			conn_write(s->conn, STR("* OK still here\r\n"));
	}
}

struct imap_result imap_cmd_idle(struct imap_session *s, struct imap_command *c)
{
	struct str line;
	char tag[IMAP_TAG_BYTES_MAX + 1];
	str_to_c(c->tag, tag, sizeof tag);
	imap_read_reset(&s->read); // a long command's memory is not kept through a long sleep
	conn_write(s->conn, STR("+ idling\r\n"));
	metric_add(&metric_popimap_imap_idling, 1);
	bool awake = wait_for_line(s, c);
	metric_add(&metric_popimap_imap_idling, -1);
	if (!awake || imap_read_more(s, &line))
		return (struct imap_result){0};
	c->tag = arena_dup(c->arena, str_of_c(tag));
	if (!str_eq_nocase(line, STR("DONE")))
		return (struct imap_result){.status = IMAP_BAD, .text = "DONE expected"};
	return imap_ok("done");
}
