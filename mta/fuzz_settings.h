// SPDX-License-Identifier: Apache-2.0
// For the fuzz targets of this folder: settings from a text, for the whole run.
#ifndef MTA_FUZZ_SETTINGS_H
#define MTA_FUZZ_SETTINGS_H

#include <stdlib.h>
#include <unistd.h>

#include "base/must.h"
#include "schema/settings.h"

// Of a node without certificates whose queue needs no room on the disk.
#define FUZZ_SETTINGS_QUEUE \
	"hostname = mx.uni.example\nlisten_submissions = {}\nlisten_imaps = {}\nlisten_pop3s = {}\nqueue_reserve_bytes = 0\n"

static inline struct settings_snapshot *fuzz_settings(const char *text)
{
	char path[] = "/tmp/posthouse-fuzz-XXXXXX";
	int fd = mkstemp(path);
	struct settings_report report;
	struct settings_snapshot *snapshot;
	must(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0);
	settings_report_init(&report);
	must(settings_load(&settings_table, path, &report, &snapshot) == ERR_OK);
	settings_report_fini(&report);
	unlink(path);
	return snapshot;
}

#endif
