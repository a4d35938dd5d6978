// SPDX-License-Identifier: Apache-2.0
// For fuzz targets of what the control socket asks the queue: a control socket that is none. The functions of base/control.h are
// defined here, so the linker takes these. To be included in one file of a program.
//
//     struct control_request request;
//     if (fuzz_control_begin(&request, line)) {            // an object; else there is nothing to be asked
//         handler(&request, arg);
//         fuzz_control_answered(&request);                 // once, by an answer that is JSON
//     }
//     fuzz_control_end(&request);
#ifndef MTA_FUZZ_CONTROL_H
#define MTA_FUZZ_CONTROL_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/control.h"
#include "base/must.h"

enum { FUZZ_CONTROL_ITEMS_MAX = 100 }; // the asker leaves when it has heard so many

struct control_request {
	json_t *args; // owned
	size_t items;
	bool answered;
	json_int_t recipients; // of the answer; 0 when it has none, -1: it failed
};

static const struct control_command *fuzz_commands; // what was registered last

const json_t *control_args(const struct control_request *request)
{
	return request->args;
}

struct str control_arg_str(const struct control_request *request, const char *name)
{
	const json_t *value = json_object_get(request->args, name);
	return json_is_string(value) ? str_of(json_string_value(value), json_string_length(value)) : STR_NONE;
}

static void fuzz_check_json(json_t *object)
{
	char *text = json_dumps(object, JSON_COMPACT | JSON_ENCODE_ANY);
	must(text != NULL);
	free(text);
	json_decref(object);
}

enum err_code control_item(struct control_request *request, json_t *item)
{
	must(!request->answered && item != NULL);
	fuzz_check_json(item);
	return ++request->items < FUZZ_CONTROL_ITEMS_MAX ? ERR_OK : ERR_CLOSED;
}

void control_ok(struct control_request *request, json_t *result)
{
	must(!request->answered);
	request->answered = true;
	request->recipients = json_integer_value(json_object_get(result, "recipients"));
	if (result)
		fuzz_check_json(result);
}

void control_fail(struct control_request *request, enum err_code code, const char *format, ...)
{
	char text[ERR_TEXT_BYTES];
	va_list args;
	must(!request->answered && code != ERR_OK);
	request->answered = true;
	request->recipients = -1;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	must(text[0] != '\0');
}

void control_register(struct control *control, const struct control_command *table)
{
	(void)control;
	fuzz_commands = table;
}

static inline bool fuzz_control_begin(struct control_request *request, struct str line)
{
	*request = (struct control_request){.args = json_loadb(line.n ? line.p : "", line.n, JSON_REJECT_DUPLICATES, NULL)};
	return json_is_object(request->args);
}

static inline void fuzz_control_answered(const struct control_request *request)
{
	must(request->answered || request->items == FUZZ_CONTROL_ITEMS_MAX);
}

static inline void fuzz_control_end(struct control_request *request)
{
	json_decref(request->args);
}

#endif
