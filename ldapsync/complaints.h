// SPDX-License-Identifier: Apache-2.0
// What is wrong with the directory, said in the log: values that were left out, keys with several owners. Counted; the first
// COMPLAINTS_LOGGED_MAX of each are logged, because a directory of 200,000 can be wrong 200,000 times.
//
//     struct complaints complaints = {.source = "people.ldif"};
//     intake_new(complaints_refuse, &complaints);
//     image_conflicts(image, complaints_conflict, &complaints, &err);
#ifndef LDAPSYNC_COMPLAINTS_H
#define LDAPSYNC_COMPLAINTS_H

#include <stdint.h>

#include "base/str.h"

enum { COMPLAINTS_LOGGED_MAX = 100 };

struct complaints {
	const char *source; // the file or the server, for the log; borrowed
	uint64_t refused;   // values and entries
	uint64_t conflicts; // keys
};

// An intake_complain_fn; context is the struct complaints.
void complaints_refuse(void *context, size_t line, struct str dn, struct str attribute, const char *what);

// For image_conflicts(). A pin with several owners is none: a node that is several mailHosts shows one certificate.
void complaints_conflict(void *context, int kind, struct str key, struct str dns);

#endif
