// SPDX-License-Identifier: Apache-2.0
// How the fuzz targets begin that ask a queue something over the control socket: settings for the whole run, and for each input
// the same ids, in a folder that is empty; what is damaged is said at level error, which nobody is to read. To be included in one
// file of a program.
//
//     const char *dir = fuzz_queue_begin();
//     ... a queue in dir, with fuzz_queue_settings and fuzz_queue_died ...
//     fuzz_queue_end();
#ifndef MTA_FUZZ_QUEUE_H
#define MTA_FUZZ_QUEUE_H

#include <stdint.h>
#include <stdio.h>

#include "base/log.h"
#include "base/random.h"
#include "fuzz_rows.h"
#include "fuzz_settings.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct settings_snapshot *fuzz_queue_settings;
static struct buf fuzz_queue_said;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	fuzz_queue_settings = fuzz_settings(FUZZ_SETTINGS_QUEUE);
	log_set_level(LOG_LEVEL_ERROR);
	return 0;
}

static inline void fuzz_queue_died(const struct err *err)
{
	fprintf(stderr, "died: %s\n", err->text);
	abort();
}

static inline const char *fuzz_queue_begin(void)
{
	buf_init(&fuzz_queue_said, 1 << 20);
	log_capture_begin(&fuzz_queue_said);
	random_inject(1);
	return fuzz_rows_dir();
}

static inline void fuzz_queue_end(void)
{
	random_inject_end();
	log_capture_end();
	buf_fini(&fuzz_queue_said);
}

#endif
