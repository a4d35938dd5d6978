// SPDX-License-Identifier: Apache-2.0
// An LDIF file as a source of entries: one pass over it, whatever is asked for.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/must.h"
#include "dn.h"
#include "ldapsync/entry_source.h"
#include "ldif.h"

struct wanted {
	struct guid key; // of the DN
	size_t which;
};

static int compare(const void *a, const void *b)
{
	return memcmp(&((const struct wanted *)a)->key, &((const struct wanted *)b)->key, sizeof(struct guid));
}

static enum err_code read_all(int fd, const char *path, const struct wanted *wanted, size_t n, entry_source_value_fn *each,
	void *taker, struct err *err)
{
	struct ldif *ldif = ldif_open_fd(fd, path);
	struct raw_entry record;
	enum ldif_result got;
	while ((got = ldif_next(ldif, &record, err)) == LDIF_RECORD) {
		const struct wanted key = {.key = dn_key(record.dn)};
		const struct wanted *found = bsearch(&key, wanted, n, sizeof *wanted, compare);
		for (size_t i = 0; found && i < record.n_values; i++)
			each(taker, found->which, record.values[i].name, record.values[i].value);
		if (found && record.partial)
			each(taker, found->which, STR(""), STR(""));
	}
	ldif_close(&ldif);
	return got == LDIF_BAD ? err->code : ERR_OK;
}

enum err_code entry_file_fetch(void *context, const struct str *dns, size_t n, entry_source_value_fn *each, void *taker,
	struct err *err)
{
	const struct entry_file *file = context;
	int fd = open(file->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, "read %s", file->path);
	struct wanted *wanted = calloc(n + 1, sizeof *wanted);
	must(wanted != NULL);
	for (size_t i = 0; i < n; i++)
		wanted[i] = (struct wanted){dn_key(dns[i]), i};
	qsort(wanted, n, sizeof *wanted, compare);
	enum err_code code = read_all(fd, file->path, wanted, n, each, taker, err);
	free(wanted);
	close(fd);
	return code;
}
