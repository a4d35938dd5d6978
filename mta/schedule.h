// SPDX-License-Identifier: Apache-2.0
// When to try what: recipients by destination, adaptive concurrency, back-off, dead destinations. Pure: no clock, no I/O, no
// threads.
//
//     struct schedule *s = schedule_new(&config);
//     schedule_add(s, &item, now_ms);                          // came in, or from a page of rows
//     while ((dest = schedule_start_agent(s, now_ms))) ...     // a connection to dest should be opened
//     items = schedule_take(s, dest, 10, 100);                 // by that agent: some messages with their recipients there
//     schedule_done(s, dest, &item);                           // its result is committed: the item leaves memory
//     schedule_succeeded(s, dest); schedule_failed(s, dest, …); schedule_agent_ended(s, dest);
//
// A destination is what is connected to: a mailbox host, the relayhost, the next hops of a route. It starts with
// SCHEDULE_WINDOW_START connections, gets more with each success up to concurrency_max, and half as many with each failed
// connection. When none of its connections lives and one fails, it is dead: whatever is due for it is deferred unseen, and after
// a back-off that doubles one connection probes it.
//
// Memory is bounded: at most SCHEDULE_ITEMS_MAX recipients are here, at most SCHEDULE_DEST_ITEMS_MAX of one destination; the
// others stay in the rows, of which the schedule knows for each destination only when the first is due (schedule_note_due,
// schedule_wants_page).
//
// Times are of one monotonic clock, in ms; rows have wall-clock times, which schedule_due_ms() turns into waiting times of
// bounded length, so that a jump of the wall clock delays nothing beyond one longest wait.
#ifndef MTA_SCHEDULE_H
#define MTA_SCHEDULE_H

#include "item.h"

enum {
	SCHEDULE_WINDOW_START = 5,
	SCHEDULE_ITEMS_MAX = 20000,
	SCHEDULE_DEST_ITEMS_MAX = 2000,
	SCHEDULE_PAGE = 500,          // rows asked for at a time
	SCHEDULE_LOW = 200,           // a destination with fewer ready ones is loaded again
	SCHEDULE_WHY_BYTES_MAX = 512,
	SCHEDULE_KINDS = RECORD_TO_EXPAND + 1,
};

struct schedule_config {
	unsigned concurrency_max; // connections to one destination
	unsigned connections_max; // to all
	int64_t retry_min_ms, retry_max_ms;
	// agents at a time for all destinations of a kind of target (enum record_target); 0: as many as come
	unsigned kind_max[SCHEDULE_KINDS];
};

struct schedule;
struct schedule_dest;

struct schedule *schedule_new(const struct schedule_config *config);
void schedule_free(struct schedule **schedule);
void schedule_configure(struct schedule *s, const struct schedule_config *config);

// Takes *item and returns its destination. NULL when there is no room for it: a row is noted as due and the item is left. One
// that is here already is freed.
struct schedule_dest *schedule_add(struct schedule *s, struct item **item, int64_t now_ms);

// The same for one that nobody is to try: it is out at once, and ends with schedule_done. NULL also when it is here already; it
// is left then.
struct schedule_dest *schedule_add_out(struct schedule *s, struct item *item);

bool schedule_has(struct schedule *s, const struct item *item);

// More is ready than agents are on their way to take it. schedule_expect: one more is, because it was woken.
bool schedule_needs_hands(const struct schedule_dest *dest);
void schedule_expect(struct schedule_dest *dest);

// Rows of this destination are due at due_ms.
void schedule_note_due(struct schedule *s, struct str destination, int64_t due_ms);

// A recipient (0: all of the message) was held or removed: it is not handed out any more, unless its row is added again. False:
// it is not here.
bool schedule_gone(struct schedule *s, const struct guid *guid, uint32_t number);

// Everything that waits in rows is due now, dead destinations are probed now.
void schedule_flush(struct schedule *s, int64_t now_ms);

// The destination whose rows should be read next, or NULL. Its page is under way until schedule_paged(). limit_out counts rows
// that are here already, too. early_out: also rows that are not due, because the destination has come back to life.
struct schedule_dest *schedule_wants_page(struct schedule *s, int64_t now_ms, size_t *limit_out, bool *early_out);

// The page was read and its items added; the next row is due at next_due_ms (INT64_MAX: none).
void schedule_paged(struct schedule *s, struct schedule_dest *dest, int64_t next_due_ms);

// The destination that should get one connection more, counted as an agent from now on, or NULL.
struct schedule_dest *schedule_start_agent(struct schedule *s, int64_t now_ms);

// For an agent: the next ones, at most so many messages and recipients, those of a message next to each other; NULL: none now.
// The list is the agent's; each item ends with schedule_done or schedule_put_back.
struct item *schedule_take(struct schedule *s, struct schedule_dest *dest, size_t messages_max, size_t recipients_max);
void schedule_done(struct schedule *s, struct schedule_dest *dest, struct item **item);
void schedule_put_back(struct schedule *s, struct schedule_dest *dest, struct item **item);

// For a destination that is dead: what is due there and has to be deferred, with the reply to give (schedule_why); as
// schedule_take. NULL: none, or no destination is.
struct item *schedule_take_dead(struct schedule *s, int64_t now_ms, size_t messages_max, size_t recipients_max,
	struct schedule_dest **dest_out);

// What an agent saw. connected: its connection stands (greeted, LHLO done). failed: it could not be made, or broke; dice is any
// random number, why the reply for those that are deferred.
void schedule_connected(struct schedule *s, struct schedule_dest *dest);
void schedule_succeeded(struct schedule *s, struct schedule_dest *dest); // one message went through
void schedule_failed(struct schedule *s, struct schedule_dest *dest, int64_t now_ms, uint32_t dice, struct str why);
void schedule_disconnected(struct schedule *s, struct schedule_dest *dest); // a connection that stood is closed
void schedule_agent_ended(struct schedule *s, struct schedule_dest *dest);

// When something will be due that is not now; INT64_MAX: nothing known.
int64_t schedule_wake_ms(struct schedule *s, int64_t now_ms);

// How long the next wait after so many tries is: doubled from retry_min to retry_max, a quarter more or less by dice.
int64_t schedule_backoff_ms(const struct schedule_config *config, unsigned tries, uint32_t dice);

// The monotonic time at which a row with next_try (wall clock) is due: never later than the longest wait from now.
int64_t schedule_due_ms(const struct schedule_config *config, int64_t next_try_wall_ms, int64_t wall_ms, int64_t now_ms);

struct str schedule_name(const struct schedule_dest *dest);
struct str schedule_why(const struct schedule_dest *dest);
bool schedule_has_ready(const struct schedule_dest *dest);
bool schedule_wants_rows(const struct schedule_dest *dest, int64_t now_ms); // rows are due and few are ready
bool schedule_is_dead(const struct schedule_dest *dest, int64_t now_ms);
void **schedule_user(struct schedule_dest *dest); // one pointer for the caller; must be NULL when the destination is idle

size_t schedule_items(const struct schedule *s);

struct schedule_stats {
	size_t destinations, dead, items, agents;
};
void schedule_stats(const struct schedule *s, int64_t now_ms, struct schedule_stats *stats_out);

#endif
