// SPDX-License-Identifier: Apache-2.0
// A table test of a profile: an entry as the directory has it, and what it is natively.
//
//     static const struct profile_case cases[] = {
//         {"a user", "objectClass: qmailUser\nmail: a@uni.example\naccountStatus: disabled\n",
//             "class phMailUser\nmail a@uni.example\nphStatus disabled < accountStatus\n", ""},
//     };
//     profile_check(SETTINGS_LDAP_PROFILE_QMAIL_LDAP, NULL, cases, sizeof cases / sizeof *cases);
//
// What is natively: "class" and the classes by name, then each value in the order of attr.def, with "< attribute" where it comes
// from another one, or "< attribute value" where its value was changed too. What is refused: "attribute what", a line each.
//
// To be included after cmocka.h.
#ifndef LDAPSYNC_PROFILE_TEST_H
#define LDAPSYNC_PROFILE_TEST_H

#include "base/must.h"
#include "intake.h"
#include "ldif.h"
#include "schema/entry_origin.h"

struct profile_case {
	const char *what, *entry, *native, *refused;
};

static inline void profile_case_complain(void *context, size_t line, struct str dn, struct str attribute, const char *what)
{
	(void)line;
	(void)dn;
	buf_printf(context, "%.*s %s\n", STR_FMT(attribute), what);
}

static inline void profile_case_describe(const struct entry *entry, struct buf *out)
{
#define PROFILE_CASE_CLASS(id, bit, name) if ((entry->classes & id) && id != ENTRY_RECIPIENT) buf_add_c(out, " " name);
	buf_add_c(out, "class");
	ATTR_CLASSES(PROFILE_CASE_CLASS)
#undef PROFILE_CASE_CLASS
	buf_add_c(out, "\n");
	struct entry_cursor cursor = {0};
	enum attr attr;
	struct str value, name, given;
	while (entry_each(entry, &cursor, &attr, &value)) {
		if (attr == ATTR_ORIGIN)
			continue;
		buf_printf(out, "%s %.*s", attr_name(attr), STR_FMT(value));
		if (entry_origin(entry, attr, value, &name, &given)) {
			buf_printf(out, " < %.*s", STR_FMT(name));
			if (!str_eq_nocase(given, value))
				buf_printf(out, " %.*s", STR_FMT(given));
		}
		buf_add_c(out, "\n");
	}
}

static inline void profile_check(int family, const struct settings_list *map, const struct profile_case *cases, size_t n)
{
	struct profile *profile = profile_new(family, map);
	for (size_t i = 0; i < n; i++) {
		struct buf text, refused, native;
		struct raw_entry record;
		struct intake_made made = {0};
		struct entry entry;
		struct err err = {0};
		buf_init(&text, 1 << 20);
		buf_init(&refused, 1 << 20);
		buf_init(&native, 1 << 20);
		buf_printf(&text, "dn: cn=case,dc=uni\n%s\n", cases[i].entry);
		struct intake *intake = intake_new(profile_case_complain, &refused);
		intake_use_profile(intake, profile);
		struct ldif *ldif = ldif_open_text(buf_str(&text), "case");
		if (ldif_next(ldif, &record, &err) != LDIF_RECORD)
			fail_msg("%s: %s", cases[i].what, err.text);
		intake_survey(intake, &record);
		intake_surveyed(intake);
		const struct guid uuid = {.b = {1}};
		record.uuid = record.uuid ? record.uuid : &uuid;
		enum intake_result result = intake_make(intake, &record, 0, &made);
		if (result == INTAKE_TAKEN) {
			must(entry_decode(made.data, &entry));
			profile_case_describe(&entry, &native);
		}
		if (!str_eq(buf_str(&native), str_of_c(cases[i].native)))
			fail_msg("%s: natively\n%.*s\nnot\n%s", cases[i].what, STR_FMT(buf_str(&native)), cases[i].native);
		if (!str_eq(buf_str(&refused), str_of_c(cases[i].refused)))
			fail_msg("%s: refused\n%.*s\nnot\n%s", cases[i].what, STR_FMT(buf_str(&refused)), cases[i].refused);
		ldif_close(&ldif);
		intake_free(&intake);
		buf_fini(&text);
		buf_fini(&refused);
		buf_fini(&native);
	}
	profile_free(&profile);
}

#endif
