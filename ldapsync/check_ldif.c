// SPDX-License-Identifier: Apache-2.0
// An LDIF file through reader and intake, with nothing stored: the same complaints as a load, in the same two passes.
#include "ldapsync/check_ldif.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "intake.h"
#include "ldif.h"

// One pass; counts the entries that would be stored.
static enum err_code read_all(int fd, const char *path, struct intake *intake, bool survey, size_t *taken, struct err *err)
{
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_errno(err, "%s:1: read it", path);
	struct ldif *ldif = ldif_open_fd(fd, path);
	struct raw_entry record;
	struct intake_made made;
	enum ldif_result got;
	while ((got = ldif_next(ldif, &record, err)) == LDIF_RECORD) {
		if (survey)
			intake_survey(intake, &record);
		else if (intake_make(intake, &record, 0, &made) == INTAKE_TAKEN)
			(*taken)++;
	}
	ldif_close(&ldif);
	return got == LDIF_BAD ? err->code : ERR_OK;
}

enum err_code check_ldif(const char *path, const struct profile *profile, check_ldif_complain_fn *complain, void *context, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, "%s:1: open it", path);
	struct intake *intake = intake_new(complain, context);
	intake_use_profile(intake, profile);
	size_t taken = 0;
	enum err_code code = read_all(fd, path, intake, true, &taken, err);
	if (code == ERR_OK) {
		intake_surveyed(intake);
		code = read_all(fd, path, intake, false, &taken, err);
	}
	if (code == ERR_OK && taken == 0)
		code = err_set(err, ERR_INVALID, "%s:1: holds no entry of ours", path);
	intake_free(&intake);
	close(fd);
	return code;
}
