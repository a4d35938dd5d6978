// SPDX-License-Identifier: Apache-2.0
// The queue's files beside its database: the count of starts, and bodies in spool/ that nobody needs any more. One thread,
// "queue-files".
//
//     keeper_start(keeper, guids, n, err);       // durable: these messages are being tried from now on
//     ... try them; a crash here is on their account ...
//     keeper_end(keeper, &guids[i]);             // survived
//
// START (CLUSTER 8, ARCHITECTURE 4 "poison"): before a message is parsed or tried, its guid is in the file `starts`, synced. A
// message that is still there at the next start was under way when we died. Many are under way at any moment, and we may die of
// something else, so a death makes suspects only: one that was there twice is tried alone, nothing else being under way, and when
// we die then, it was it: it is held, for a person to look at. Starts that wait share one sync.
#ifndef MTA_KEEPER_H
#define MTA_KEEPER_H

#include "base/err.h"
#include "base/guid.h"

struct keeper;

enum {
	KEEPER_DEATHS_MAX = 3,       // with the last one alone, a message is held
	KEEPER_ALONE_MS = 10000,     // others wait so long for one that is tried alone
	KEEPER_ALONE_WAIT_MS = 5000, // and it waits so long to be alone
	KEEPER_SLOTS = 8192, // messages tried at one time
};

// dir is the queue's directory, spool its folder of bodies; both stay the caller's and open. suspect is called for each message
// that was under way at the last death or before, with its count of deaths: KEEPER_DEATHS_MAX when it is to be held. died as in
// cluster/log.h. Blocks.
enum err_code keeper_open(int dir, int spool, void (*suspect)(void *arg, const struct guid *guid, unsigned deaths), void *arg,
	void (*died)(const struct err *err), struct keeper **keeper_out, struct err *err) ERR_CHECKED;

// Finishes what waits, then ends the thread. Blocks.
void keeper_close(struct keeper **keeper);

// ERR_BUSY when all slots are taken: try less. May wait; on a plain thread it blocks. Not ended by cancel.
enum err_code keeper_start(struct keeper *keeper, const struct guid *guids, size_t n, struct err *err) ERR_CHECKED;

// Was it under way at so many deaths that it is to be tried alone? Any thread; does not wait.
bool keeper_is_suspect(struct keeper *keeper, const struct guid *guid);

// The same for one suspect, while nothing else is under way, as far as that can be waited for.
enum err_code keeper_start_alone(struct keeper *keeper, const struct guid *guid, struct err *err) ERR_CHECKED;

// One for each start. Any thread; does not wait: if we die before it is on disk, a death too many is counted.
void keeper_end(struct keeper *keeper, const struct guid *guid);

// The deaths of a message no longer count: it was held, or is not in the queue any more.
void keeper_forget(struct keeper *keeper, const struct guid *guid);

// Removes spool/<guid>. Any thread; does not wait. A crash leaves it to the sweep at start.
void keeper_unlink(struct keeper *keeper, const struct guid *guid);

#endif
