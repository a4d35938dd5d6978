// SPDX-License-Identifier: Apache-2.0
// Structures of content synchronisation (RFC 4533, section 2) as bytes: the request control, the state control of an entry, the
// info message. The done control ends searches that do not persist; ours does, so its end is trouble whatever it says.
//
//     buf_clear(&value);
//     sync_request_add(&value, cookie, false);               // value of control SYNC_OID_REQUEST
//     if (!sync_state_parse(control_value, &state)) ...      // the server broke the protocol
//
// Pure; what comes out borrows from what went in. Lengths are definite (RFC 4511, 5.1) and at most 4 bytes long; whatever else a
// structure holds after what is known, and any bytes after it, make it invalid.
#ifndef LDAPSYNC_SYNC_WIRE_H
#define LDAPSYNC_SYNC_WIRE_H

#include "base/buf.h"
#include "base/guid.h"

#define SYNC_OID_REQUEST "1.3.6.1.4.1.4203.1.9.1.1"
#define SYNC_OID_STATE "1.3.6.1.4.1.4203.1.9.1.2"
#define SYNC_OID_INFO "1.3.6.1.4.1.4203.1.9.1.4"
enum { SYNC_REFRESH_REQUIRED = 4096 }; // the result code e-syncRefreshRequired

// syncRequestValue for refreshAndPersist; an empty cookie is left out. False when it does not fit into value.
bool sync_request_add(struct buf *value, struct str cookie, bool reload_hint);

// syncStateValue
enum sync_change { SYNC_PRESENT, SYNC_ADD, SYNC_MODIFY, SYNC_DELETE }; // as on the wire
struct sync_state {
	enum sync_change change;
	struct guid uuid;
	struct str cookie; // .p NULL: none was sent
};
bool sync_state_parse(struct str value, struct sync_state *state_out);

// syncInfoValue
enum sync_info_kind { SYNC_NEW_COOKIE, SYNC_REFRESH_DELETE, SYNC_REFRESH_PRESENT, SYNC_ID_SET };
struct sync_info {
	enum sync_info_kind kind;
	struct str cookie;    // .p NULL: none was sent
	bool refresh_done;    // SYNC_REFRESH_DELETE, SYNC_REFRESH_PRESENT
	bool refresh_deletes; // SYNC_ID_SET: these are gone; else these are there
	struct str uuids;     // SYNC_ID_SET, for sync_uuid_next
};
bool sync_info_parse(struct str value, struct sync_info *info_out);

// Takes the next UUID off a parsed set; false at its end.
bool sync_uuid_next(struct str *uuids, struct guid *uuid_out);

// Takes one element with this tag off *rest: what the structures above and the attributes of an entry are made of.
enum { SYNC_WIRE_OCTETS = 0x04, SYNC_WIRE_SET = 0x31 };
bool sync_wire_take(struct str *rest, uint8_t tag, struct str *content_out);

#endif
