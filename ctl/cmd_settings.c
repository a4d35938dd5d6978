// SPDX-License-Identifier: Apache-2.0
// posthouse settings: what differs from the defaults, in the form of the file.
#include <stdio.h>
#include <string.h>

#include "ctl.h"

enum { VALUE_BYTES_MAX = 1 << 20 };

int cmd_settings(struct ctl *ctl)
{
	bool all = ctl_option(ctl, "--all") != NULL;
	const struct settings *settings = ctl_settings(ctl);
	json_t *object = json_object();
	for (size_t i = 0; i < settings_table.n; i++) {
		const struct settings_row *row = &settings_table.rows[i];
		if (row->section != NULL || (!all && settings_is_default(row, settings)))
			continue;
		struct buf value;
		buf_init(&value, VALUE_BYTES_MAX);
		settings_print_value(row, settings, &value);
		if (ctl->json)
			json_object_set_new(object, row->name, json_string(buf_c(&value)));
		else
			printf("%s = %s\n", row->name, buf_c(&value));
		buf_fini(&value);
	}
	if (ctl->json)
		ctl_print_json(json_incref(object));
	json_decref(object);
	return CTL_YES;
}
