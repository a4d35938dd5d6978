// SPDX-License-Identifier: Apache-2.0
// A request to another thread with a reply. Caller and callee hold a reference each, so that either may go first: a caller that
// gives up (its client was told 451) leaves the callee to finish a call that nobody reads.
//
//     struct call *call = call_new(sizeof(struct commit), commit_fini);       // caller, on a fiber or a plain thread
//     struct commit *commit = call_payload(call);
//     commit->record = ...;
//     writer_submit(writer, call);                                            // hands the callee its reference
//     switch (call_wait(call, deadline_ms)) {
//     case ERR_OK: reply(commit->result); break;                              // what the callee wrote is visible
//     case ERR_TIMEOUT: ...
//     }
//     call_drop(&call);
//
//     commit->result = ...;                                                   // callee, on any thread
//     call_done(&call);
//
// From the submit on, the payload is the callee's alone; after call_wait gave ERR_OK it is the caller's alone; after the caller
// gave up it touches it no more. A fiber drops its calls before it ends; a callee may then be done at any time, even after the
// end of the fiber's scheduler.
#ifndef BASE_CALL_H
#define BASE_CALL_H

#include "base/err.h"

struct call;

// A call with payload_bytes of zeroed payload, aligned for any type, for this fiber (or plain thread) to wait on. fini(payload),
// if not NULL, runs on the thread that drops the last reference.
struct call *call_new(size_t payload_bytes, void (*fini)(void *payload));
void *call_payload(struct call *call);

// The callee is ready: what it wrote to the payload is published, the waiting caller is woken, the callee's reference is gone.
// Any thread, once. Does not block.
void call_done(struct call **call);

// Waits for call_done: ERR_OK, ERR_TIMEOUT (clock_mono_ms deadline), ERR_CANCELLED (soft cancel outside a shield, or hard). Only
// the fiber or thread that made the call. May be called again after a timeout. May wait.
enum err_code call_wait(struct call *call, int64_t deadline_ms) ERR_CHECKED;
bool call_is_done(const struct call *call);

// The caller's reference goes. Before call_done this is giving up.
void call_drop(struct call **call);

// For the callee: has the caller given up? Saves work; may become true at any moment.
bool call_is_abandoned(const struct call *call);

#endif
