// SPDX-License-Identifier: Apache-2.0
// The log: one line per event, a constant message and typed fields. Who the event is about comes from a chain of contexts.
//
//     struct log_context session = {.parent = &listener, .name = "session", .value = log_id};
//     struct log_context txn = {.parent = &session, .name = "txn", .value = txn_id};
//
//     log_info(&txn, "message accepted", log_u64("size_bytes", size), log_str("sender", sender));
//     log_error(NULL, "cannot write to the queue", log_err(&err));
//
// gives, in logfmt, with what a peer sent escaped so that it can neither end the line nor forge a field:
//
//     ts=2026-11-21T18:46:05.123Z level=info daemon=mta msg="message accepted" session=7f3a txn=2 size_bytes=4711 sender="a b@x"
//
// Levels: error means that an operator must act; warning that something is odd and was dealt with; info is one line per event of
// the service; debug is for us. The message is a literal, so that one can search for it.
//
// Never blocks and never fails: the caller formats into a slot of a bounded ring, one writer thread empties it. When the ring is
// full the line is dropped and counted (metric log_dropped), and the writer says so once it can. Lines end after LOG_LINE_BYTES
// with "...". Before log_start() and after log_stop() (commands, tests, the first lines of a daemon) a line is written by the
// caller at once. Any thread, any fiber; not signal handlers. Formatting needs up to 1.2 KiB of stack.
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/buf.h"
#include "base/err.h"

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
};

enum log_destination {
	LOG_TO_STDERR, // logfmt; under systemd with a <priority> before and without the time
	LOG_TO_SYSLOG, // facility mail
};

enum { LOG_LINE_BYTES = 1008 };

// Who an event is about. Lives in the caller's storage (session, transaction) and borrows its value; parents outlive children.
struct log_context {
	const struct log_context *parent; // or NULL
	const char *name;                 // "session", "txn", "queue_id": a literal
	struct str value;
};

struct log_field {
	const char *name; // a literal, lower case; NULL ends a list
	enum { LOG_FIELD_STR, LOG_FIELD_U64, LOG_FIELD_I64, LOG_FIELD_BOOL } type;
	union {
		struct str str;
		uint64_t u64;
		int64_t i64;
		bool yes;
	};
};

static inline struct log_field log_str(const char *name, struct str value)
{
	return (struct log_field){.name = name, .type = LOG_FIELD_STR, .str = value};
}

static inline struct log_field log_c(const char *name, const char *value)
{
	return log_str(name, str_of_c(value));
}

static inline struct log_field log_u64(const char *name, uint64_t value)
{
	return (struct log_field){.name = name, .type = LOG_FIELD_U64, .u64 = value};
}

static inline struct log_field log_i64(const char *name, int64_t value)
{
	return (struct log_field){.name = name, .type = LOG_FIELD_I64, .i64 = value};
}

static inline struct log_field log_bool(const char *name, bool value)
{
	return (struct log_field){.name = name, .type = LOG_FIELD_BOOL, .yes = value};
}

// error="text of err".
static inline struct log_field log_err(const struct err *err)
{
	return log_str("error", str_of_c(err->text));
}

// log_error(context or NULL, "literal", fields...) and its like.
#define log_error(context, message, ...) LOG_EVENT_(LOG_LEVEL_ERROR, context, message, __VA_ARGS__)
#define log_warning(context, message, ...) LOG_EVENT_(LOG_LEVEL_WARNING, context, message, __VA_ARGS__)
#define log_info(context, message, ...) LOG_EVENT_(LOG_LEVEL_INFO, context, message, __VA_ARGS__)
#define log_debug(context, message, ...) LOG_EVENT_(LOG_LEVEL_DEBUG, context, message, __VA_ARGS__)
#define LOG_EVENT_(level, context, message, ...)                                                                              \
	do {                                                                                                                  \
		if (log_enabled(level))                                                                                       \
			log_event((level), (context), "" message,                                                             \
				(const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ) {.name = NULL}});                       \
	} while (0)

// True when lines of this level are written: for callers that would compute a field at some cost.
bool log_enabled(enum log_level level);
void log_event(enum log_level level, const struct log_context *context, const char *message, const struct log_field *fields);

// Starts the writer thread. daemon is the name in daemon=, a literal. After the sandbox is entered. Not twice without a
// log_stop() between.
void log_start(const char *daemon, enum log_destination destination, enum log_level level);

// Writes what waits and ends the thread. From then on lines are written by their callers.
void log_stop(void);

// Which lines are written from now on; any thread (settings were reloaded).
void log_set_level(enum log_level level);

// Lines dropped since the start.
uint64_t log_dropped(void);

// Appends value to b as a logfmt value: bare when it is plain, else quoted with \" \\ \n \r \t \xHH for what is not printable
// ASCII or well-formed UTF-8. The one place where peers' data is escaped for a terminal; commands use it too.
void log_escape(struct buf *b, struct str value);

// Tests: until log_capture_end(), lines go to b, each with LF, without time, whatever the level and the ring. Any thread may log.
void log_capture_begin(struct buf *b);
void log_capture_end(void);

#endif
