// SPDX-License-Identifier: Apache-2.0
// What the queue's reading statements select, by name: the text of the statement and the numbers of its columns come from one
// list.
//
//     "SELECT" QUEUE_COLUMNS_TEXT(QUEUE_ITEM_COLUMNS) " FROM recipient r …"
//     item->tries = (uint32_t)db_col_i64(stmt, ITEM_TRIES);
//
// Statements with one or two columns have bare numbers, beside their text.
#ifndef MTA_QUEUE_COLUMNS_H
#define MTA_QUEUE_COLUMNS_H

// X(name, text) for each column but the first, which is FIRST(name, text).
// A recipient r with its message m.
#define QUEUE_ITEM_COLUMNS(FIRST, X)                                                                                          \
	FIRST(ITEM_GUID, "r.guid")                                                                                            \
	X(ITEM_NUMBER, "r.number") X(ITEM_STATE, "r.state") X(ITEM_NEXT_TRY, "r.next_try") X(ITEM_TRIES, "r.tries")           \
	X(ITEM_WAITED, "r.waited") X(ITEM_WARNED, "r.warned") X(ITEM_ATTEMPT, "r.attempt") X(ITEM_TARGET, "r.target")         \
	X(ITEM_NOTIFY, "r.notify") X(ITEM_DESTINATION, "r.destination") X(ITEM_ADDRESS, "r.address") X(ITEM_KEY, "r.akey")    \
	X(ITEM_ORIGINAL, "r.original") X(ITEM_ORCPT, "r.orcpt") X(ITEM_MAILBOX, "r.mailbox") X(ITEM_DETAIL, "r.detail")       \
	X(ITEM_LIST, "r.list") X(ITEM_STANDS_FOR, "r.stands_for") X(ITEM_REPLY, "r.reply") X(ITEM_ROOT, "m.root")             \
	X(ITEM_KIND, "m.kind") X(ITEM_FLAGS, "m.flags") X(ITEM_SENDER, "m.sender") X(ITEM_ENVID, "m.envid")                   \
	X(ITEM_RECEIVED, "m.received") X(ITEM_BYTES, "m.bytes") X(ITEM_BODY, "m.body") X(ITEM_DIGEST, "m.digest")

#define QUEUE_MESSAGE_COLUMNS(FIRST, X)                                                                                       \
	FIRST(MESSAGE_GUID, "guid") X(MESSAGE_SENDER, "sender") X(MESSAGE_BYTES, "bytes") X(MESSAGE_RECEIVED, "received")

#define QUEUE_ATTEMPT_COLUMNS(FIRST, X)                                                                                       \
	FIRST(ATTEMPT_GUID, "guid") X(ATTEMPT_NUMBER, "number") X(ATTEMPT_INDEX, "attempt") X(ATTEMPT_WAITED, "waited")

// A row that cannot be read: what there is of it.
#define QUEUE_DAMAGED_COLUMNS(FIRST, X) \
	FIRST(DAMAGED_ROW, "'recipient'") \
	X(DAMAGED_GUID, "r.guid") X(DAMAGED_NUMBER, "r.number") X(DAMAGED_ADDRESS, "r.address") \
		X(DAMAGED_DESTINATION, "r.destination") X(DAMAGED_SENDER, "m.sender") X(DAMAGED_RECEIVED, "m.received") \
			X(DAMAGED_BYTES, "m.bytes") X(DAMAGED_BODY, "b.data")

#define QUEUE_COLUMN_NAME(name, text) name,
enum queue_item_column { QUEUE_ITEM_COLUMNS(QUEUE_COLUMN_NAME, QUEUE_COLUMN_NAME) };
enum queue_message_column { QUEUE_MESSAGE_COLUMNS(QUEUE_COLUMN_NAME, QUEUE_COLUMN_NAME) };
enum queue_attempt_column { QUEUE_ATTEMPT_COLUMNS(QUEUE_COLUMN_NAME, QUEUE_COLUMN_NAME) };
enum queue_damaged_column { QUEUE_DAMAGED_COLUMNS(QUEUE_COLUMN_NAME, QUEUE_COLUMN_NAME) };
#undef QUEUE_COLUMN_NAME

#define QUEUE_COLUMN_FIRST(name, text) " " text
#define QUEUE_COLUMN_TEXT(name, text) ", " text
#define QUEUE_COLUMNS_TEXT(COLUMNS) COLUMNS(QUEUE_COLUMN_FIRST, QUEUE_COLUMN_TEXT)

#endif
