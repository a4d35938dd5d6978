// SPDX-License-Identifier: Apache-2.0
// From an entry as a directory gives it to what is stored of it: checked values, keys, identity. The gate against values that
// lie.
//
//     struct intake *intake = intake_new(complain, context);
//     intake_survey(intake, &record);                       // first pass: realms of domains
//     intake_surveyed(intake);
//     switch (intake_make(intake, &record, 0, &made)) {      // second pass
//     case INTAKE_TAKEN: store(made.uuid, made.keys, made.data);
//     ...
//
// A value that fails its check (schema/attr.def) is left out and reported; the entry stays, so that its address does not become
// an unknown user. Results borrow from the intake until the next call. Nothing here blocks.
#ifndef LDAPSYNC_INTAKE_H
#define LDAPSYNC_INTAKE_H

#include "base/guid.h"
#include "ldapsync/directory.h"
#include "profile_map.h"
#include "raw_entry.h"

// Raised whenever the same record would be stored differently: the shadow is then loaded again.
enum { INTAKE_VERSION = 7 };

struct intake;

// attribute is "" when the entry as a whole is meant.
typedef void intake_complain_fn(void *context, size_t line, struct str dn, struct str attribute, const char *what);

struct intake *intake_new(intake_complain_fn *complain, void *context);

// What attributes of other schemas mean (profile_map.h); borrowed. NULL, as after intake_new: entries are native.
void intake_use_profile(struct intake *intake, const struct profile *profile);
void intake_free(struct intake **intake);

// From now on nobody can log in: secret_data is empty. For nodes that check no passwords.
void intake_without_secrets(struct intake *intake);

// Remembers what other entries depend on (phAuthRealm of domains), from every record; then once intake_surveyed.
void intake_survey(struct intake *intake, const struct raw_entry *record);
void intake_surveyed(struct intake *intake);

// Does this entry say otherwise than the survey? Then names to log in by are wrong until all entries were taken in again.
bool intake_realms_differ(struct intake *intake, const struct raw_entry *record);

// What the survey found, as one hash.
struct guid intake_realms_hash(const struct intake *intake);

// Forgets the survey.
void intake_forget(struct intake *intake);

enum intake_result {
	INTAKE_TAKEN,
	INTAKE_SKIPPED, // nothing of ours: an organisational unit, a printer
	INTAKE_REFUSED, // reported
};

struct intake_made {
	struct guid uuid;             // keyed by this
	struct str data, keys;        // for the shadow: schema/entry.h, keys.h
	struct str secret_data, secret_keys; // for the credentials; empty when it cannot log in
};

enum {
	INTAKE_OWN_UUID = 1, // the entryUUID is taken by another entry: derive one from the DN, no mailbox
};
enum intake_result intake_make(struct intake *intake, const struct raw_entry *record, unsigned flags,
	struct intake_made *made_out);

#endif
