// SPDX-License-Identifier: Apache-2.0
// Operational failures: the table of codes, and texts that grow outward.
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/must.h"

static const struct {
	const char *name, *text;
	bool temporary;
} rows[] = {
#define ERR_ROW(code, name, text, temporary) [code] = {name, text, temporary},
	ERR_CODES(ERR_ROW)
#undef ERR_ROW
};

const char *err_name(enum err_code code)
{
	return rows[code].name;
}

const char *err_text(enum err_code code)
{
	return rows[code].text;
}

bool err_is_temporary(enum err_code code)
{
	return rows[code].temporary;
}

enum err_code err_of_errno(int errnum)
{
	switch (errnum) {
	case ENOSPC:
	case EDQUOT:
		return ERR_NOSPACE;
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case ENOBUFS:
		return ERR_NOMEM;
	case ETIMEDOUT:
		return ERR_TIMEOUT;
	case ECANCELED:
		return ERR_CANCELLED;
	case EPIPE:
	case ECONNRESET:
		return ERR_CLOSED;
	case ECONNREFUSED:
	case EHOSTUNREACH:
	case ENETUNREACH:
		return ERR_CONNECT;
	case ENOENT:
		return ERR_NOTFOUND;
	case EEXIST:
		return ERR_EXISTS;
	case EACCES:
	case EPERM:
		return ERR_DENIED;
	case EINVAL:
	case ELOOP: // what is there is not what it should be, for example a link (O_NOFOLLOW): no fault of the disk
	case ENOTDIR:
	case EISDIR:
	case ENAMETOOLONG:
		return ERR_INVALID;
	case EBUSY:
		return ERR_BUSY;
	default:
		return ERR_IO;
	}
}

// A text goes to one log line: control bytes become '?', and a cut is visible.
static void finish(struct err *err, int wanted)
{
	for (char *p = err->text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	if (wanted >= ERR_TEXT_BYTES)
		memcpy(err->text + ERR_TEXT_BYTES - 4, "...", 4);
}

enum err_code err_set(struct err *err, enum err_code code, const char *format, ...)
{
	must(code != ERR_OK);
	if (err == NULL)
		return code;
	va_list args;
	va_start(args, format);
	err->code = code;
	finish(err, vsnprintf(err->text, sizeof err->text, format, args));
	va_end(args);
	return code;
}

enum err_code err_errno(struct err *err, const char *format, ...)
{
	int errnum = errno;
	enum err_code code = err_of_errno(errnum);
	if (err == NULL)
		return code;
	va_list args;
	va_start(args, format);
	int n = vsnprintf(err->text, sizeof err->text, format, args);
	va_end(args);
	if (n >= 0 && n < ERR_TEXT_BYTES) {
		char reason[128];
		size_t at = (size_t)n;
		n += snprintf(err->text + at, sizeof err->text - at, ": %s", strerror_r(errnum, reason, sizeof reason));
	}
	err->code = code;
	finish(err, n);
	errno = errnum;
	return code;
}

enum err_code err_wrap(struct err *err, const char *format, ...)
{
	must(err != NULL && err->code != ERR_OK);
	char inner[ERR_TEXT_BYTES];
	memcpy(inner, err->text, sizeof inner);
	va_list args;
	va_start(args, format);
	int n = vsnprintf(err->text, sizeof err->text, format, args);
	va_end(args);
	if (n >= 0 && n < ERR_TEXT_BYTES) {
		size_t at = (size_t)n;
		n += snprintf(err->text + at, sizeof err->text - at, ": %s", inner);
	}
	finish(err, n);
	return err->code;
}
