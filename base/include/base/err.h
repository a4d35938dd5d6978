// SPDX-License-Identifier: Apache-2.0
// Operational failures: what can go wrong although no one has a bug. A code to act on, and a text that grows outward.
//
//     enum err_code spool_open(struct str path, struct err *err)
//     {
//         int fd = open(...);
//         if (fd < 0)
//             return err_errno(err, "open spool file %s", name);       // "open spool file 5f…: No space left on device"
//     }
//     if (spool_open(path, err))
//         return err_wrap(err, "accept message %s", queue_id);         // "accept message 5f…: open spool file 5f…: No space …"
//
// A function that can fail returns enum err_code, must be checked, and takes `struct err *err` last; NULL is allowed where the
// caller needs no text. Outputs are untouched on failure. Domain outcomes (unknown user, quota) are enums of their own, never
// these. Bugs are must(). Out of memory aborts.
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdbool.h>

#include "base/str.h"

// code, name, text, temporary: may the same call succeed later without anyone changing the configuration?
#define ERR_CODES(X)                                                                    \
	X(ERR_OK, "ok", "no error", false)                                              \
	X(ERR_IO, "io", "input/output error", true)                                     \
	X(ERR_NOSPACE, "nospace", "no space left", true)                                \
	X(ERR_QUOTA, "quota", "mailbox is full", true)                                  \
	X(ERR_NOMEM, "nomem", "a limit of the system is reached (descriptors, mappings)", true) \
	X(ERR_TIMEOUT, "timeout", "timed out", true)                                    \
	X(ERR_CANCELLED, "cancelled", "cancelled: this process is stopping", true)      \
	X(ERR_CLOSED, "closed", "the other side closed the connection", true)           \
	X(ERR_CONNECT, "connect", "cannot connect", true)                               \
	X(ERR_TLS, "tls", "TLS failure", true)                                          \
	X(ERR_PROTOCOL, "protocol", "the other side broke the protocol", true)          \
	X(ERR_BUSY, "busy", "busy", true)                                               \
	X(ERR_LIMIT, "limit", "over a limit", false)                                    \
	X(ERR_INVALID, "invalid", "not valid", false)                                   \
	X(ERR_NOTFOUND, "notfound", "not found", false)                                 \
	X(ERR_EXISTS, "exists", "exists already", false)                                \
	X(ERR_DENIED, "denied", "permission denied", false)                             \
	X(ERR_CORRUPT, "corrupt", "damaged data", true)                                 \
	X(ERR_VERSION, "version", "made by another version", true)                      \
	X(ERR_UNSUPPORTED, "unsupported", "not supported here", false)

enum err_code {
#define ERR_ENUM(code, name, text, temporary) code,
	ERR_CODES(ERR_ENUM)
#undef ERR_ENUM
};

enum { ERR_TEXT_BYTES = 480 };

struct err {
	enum err_code code;
	char text[ERR_TEXT_BYTES]; // printable, one line, cut at the end with "..." when it grew too long
};

#define ERR_CHECKED __attribute__((warn_unused_result))

// Sets code and text; returns code. err may be NULL.
enum err_code err_set(struct err *err, enum err_code code, const char *format, ...) __attribute__((format(printf, 3, 4)));

// The same from errno: the code that fits it, and ": " + its text after the message.
enum err_code err_errno(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Puts "format: " before the text err has; returns err's code, which must not be ERR_OK.
enum err_code err_wrap(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

// "notfound" and its like, for logs and JSON; the general text; whether trying again can help.
const char *err_name(enum err_code code);
const char *err_text(enum err_code code);
bool err_is_temporary(enum err_code code);

// The code that fits a value of errno.
enum err_code err_of_errno(int errnum);

#endif
