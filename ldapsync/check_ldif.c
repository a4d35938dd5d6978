// SPDX-License-Identifier: Apache-2.0
// An LDIF file through reader and intake, with nothing stored: the same complaints as a load, in the same two passes.
#include "ldapsync/check_ldif.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "intake.h"
#include "ldif.h"

struct reading {
	int fd;
	const char *path;
	struct intake *intake;
	check_ldif_entry_fn *taken;
	void *context;
	size_t n; // entries that would be stored
};

static void take(struct reading *r, const struct raw_entry *record, const struct intake_made *made)
{
	struct entry entry;
	r->n++;
	if (r->taken && entry_decode(made->data, &entry))
		r->taken(r->context, record->line, &entry);
}

static enum err_code read_all(struct reading *r, bool survey, struct err *err)
{
	if (lseek(r->fd, 0, SEEK_SET) < 0)
		return err_errno(err, "%s:1: read it", r->path);
	struct ldif *ldif = ldif_open_fd(r->fd, r->path);
	struct raw_entry record;
	struct intake_made made;
	enum ldif_result got;
	while ((got = ldif_next(ldif, &record, err)) == LDIF_RECORD) {
		if (survey)
			intake_survey(r->intake, &record);
		else if (intake_make(r->intake, &record, 0, &made) == INTAKE_TAKEN)
			take(r, &record, &made);
	}
	ldif_close(&ldif);
	return got == LDIF_BAD ? err->code : ERR_OK;
}

enum err_code check_ldif(const char *path, const struct profile *profile, check_ldif_complain_fn *complain,
	check_ldif_entry_fn *taken, void *context, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, "%s:1: open it", path);
	struct intake *intake = intake_new(complain, context);
	intake_use_profile(intake, profile);
	struct reading reading = {.fd = fd, .path = path, .intake = intake, .taken = taken, .context = context};
	enum err_code code = read_all(&reading, true, err);
	if (code == ERR_OK) {
		intake_surveyed(intake);
		code = read_all(&reading, false, err);
	}
	if (code == ERR_OK && reading.n == 0)
		code = err_set(err, ERR_INVALID, "%s:1: holds no entry of ours", path);
	intake_free(&intake);
	close(fd);
	return code;
}
