// SPDX-License-Identifier: Apache-2.0
// Polling a server: what to ask next, from when on, and what an answer is worth. A step machine without I/O or clock; times are
// arguments.
//
//     poll_step_restore(&step, text, now_ms, wall_ms, &n);       // what a process before has stored
//     poll_step_server(&step, &server, &scope);                  // connected: another server means that everything is read
//     struct poll_ask ask = poll_step_next(&step, now_ms);       // POLL_WAIT: for ask.wait_ms
//     poll_step_asks(&step, ask.what, now_ms);
//     poll_step_saw(&step, &uuid, mark, is_news);                // each entry of the answer that has a mark
//     poll_step_done(&step, now_ms, wall_ms);                    // it was whole, and is committed; else it tells nothing
//
//     POLL_LOAD ──► POLL_CHANGES ──► POLL_CHANGES … ──► POLL_COMPARE ──► POLL_CHANGES …
//         ▲ another server, another base or filter, poll_step_forget
//
// From when on (POLL_CHANGES): the server's clock is not ours, so marks are counted from its own. When the latest news was here,
// its clock had at least come to the mark of that news, and it goes on as fast as ours does; so when the last complete question
// was asked it stood at
//     mark + (asked - seen)
// or later, and whatever has changed since has such a mark or a later one. From this the overlap is taken off: for writes of the
// same second, for masters whose clocks differ, for changes that become visible late. The latest news count, not the highest
// mark: a clock that was set back takes the mark with it as soon as a compare finds what polls have missed. A mark that lies in
// our future tells nothing of now: then now is taken. Numbers (uSNChanged) need no clock: from the one that was the latest a
// question before on, because they become visible out of order.
#ifndef LDAPSYNC_POLL_STEP_H
#define LDAPSYNC_POLL_STEP_H

#include "poll_server.h"

struct poll_config {
	int64_t poll_ms, compare_ms; // from the end of one to the beginning of the next
	int64_t overlap_ms;
};

enum poll_what {
	POLL_WAIT,
	POLL_LOAD,    // every entry: put; what was not mentioned goes
	POLL_CHANGES, // those changed since ask.since: put; those among them that the filter no longer finds go
	POLL_COMPARE, // the ids of all: what is not there any more goes, what is not as it was is read
};

struct poll_step {
	struct poll_config config;
	struct guid identity, scope, directory; // of the server that the rest is about
	enum poll_marks marks;
	bool loaded;                 // one load of it is committed; what follows goes on from there
	bool has_mark;
	int64_t mark, mark_mono_ms;  // of the latest news, and when it was here
	int64_t mark_before;         // what it was a question before; POLL_MARKS_USN
	int64_t since_mono_ms;       // when the last complete question was asked
	int64_t next_poll_ms, next_compare_ms;
	int64_t compared_wall_ms;    // when all were compared or read last
	bool holds;                  // what is committed is of a server of this identity and directory
	struct guid held, held_directory;
	bool has_witness;            // the entry of the latest news, and its mark
	struct guid witness;
	int64_t witness_mark;
	int64_t held_spare_until_wall_ms;
	int64_t spare_until_wall_ms; // who is not mentioned by this server, and was by the one before, stays until then
	// the question that runs
	enum poll_what asked;
	int64_t asked_mono_ms, news;
	struct guid news_id;
	bool has_news;
};

struct poll_ask {
	enum poll_what what;
	int64_t wait_ms; // of POLL_WAIT, above 0
	int64_t since;   // of POLL_CHANGES: a mark
};

void poll_step_init(struct poll_step *step, const struct poll_config *config);

// scope: as in sync_cookie.h. What is known stays when server, scope and kind of marks are those of before, and a count did not
// go back; changes are asked for at once then, and where nothing tells that the server was not set back meanwhile, all is to be
// compared with them (poll_step_compares_too). False: all is new.
bool poll_step_server(struct poll_step *step, const struct poll_server *server, const struct guid *scope);

// What is to be stored with the data of the questions that are done, and where a later process goes on: n entries are known then.
// Appended; nothing where a load is next. The clock of the server is taken to have stood still since, so that more is asked for
// rather than less; the next compare comes when it would have come. poll_step_restore is followed by poll_step_server. False: it
// says nothing.
void poll_step_store(const struct poll_step *step, size_t n, struct buf *text);
bool poll_step_restore(struct poll_step *step, struct str text, int64_t now_ms, int64_t wall_ms, size_t *n_out);

void poll_step_forget(struct poll_step *step);      // a load is next: what was asked was not committed as a whole

struct poll_ask poll_step_next(const struct poll_step *step, int64_t now_ms);

void poll_step_asks(struct poll_step *step, enum poll_what what, int64_t now_ms);
void poll_step_compares_too(struct poll_step *step); // the question for changes that runs became one for all
void poll_step_saw(struct poll_step *step, const struct guid *uuid, int64_t mark, bool is_news);
void poll_step_done(struct poll_step *step, int64_t now_ms, int64_t wall_ms);
void poll_step_committed(struct poll_step *step); // what was done is what is held

// Is what is held of the same directory and of another server, so that this one may lag behind it?
bool poll_step_is_another(const struct poll_step *step, const struct poll_server *server);

// Does nobody go yet whom the server before had alone? Never for longer than lag_ms from now on, whatever a clock that was ahead
// has said before.
bool poll_step_is_sparing(struct poll_step *step, int64_t wall_ms, int64_t lag_ms);

#endif
