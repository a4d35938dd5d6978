// SPDX-License-Identifier: Apache-2.0
// For tests that need settings: read from a text, as from a file.
//
// To be included after cmocka.h.
#ifndef POPIMAP_TEST_SETTINGS_H
#define POPIMAP_TEST_SETTINGS_H

#include <stdlib.h>
#include <unistd.h>

#include "base/must.h"
#include "base/settings.h"
#include "schema/settings.h"

// The caller's reference.
static inline struct settings_snapshot *settings_of_text(const char *text)
{
	char path[] = "/tmp/posthouse-settings-XXXXXX";
	int fd = mkstemp(path);
	struct settings_snapshot *settings = NULL;
	struct settings_report report;
	must(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
	settings_report_init(&report);
	if (settings_load(&settings_table, path, &report, &settings))
		fail_msg("%s", buf_c(&report.lines));
	settings_report_fini(&report);
	unlink(path);
	return settings;
}

#endif
