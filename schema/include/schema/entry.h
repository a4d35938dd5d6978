// SPDX-License-Identifier: Apache-2.0
// An entry of the directory as the shadow keeps it: one blob, read in place.
//
//     struct entry entry;
//     if (!entry_decode(blob, &entry)) ...                          // damaged, or made by a newer version
//     if (entry.classes & ENTRY_USER)
//         host = entry_first(&entry, ATTR_MAIL_HOST);               // .p is NULL when the entry has none
//     struct entry_cursor cursor = {0};
//     while (entry_next(&entry, ATTR_MEMBER, &cursor, &dn)) ...
//
// Values of ADDRESS, HOST and DOMAIN attributes were checked when the entry was read and are stored in canonical spelling
// (mail/addr.h text; keys for hosts and domains); values of the others as the directory wrote them, without controls unless RAW.
// Everything borrows from the blob. Form: FORMATS section 9. Nothing here blocks; any thread.
#ifndef SCHEMA_ENTRY_H
#define SCHEMA_ENTRY_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/guid.h"
#include "schema/attr.h"
#include "schema/entry_status.h"

enum {
	ENTRY_BYTES_MAX = 16 << 20, // of a blob: a group of 100,000 members needs 8 MiB
	ENTRY_DN_BYTES_MAX = 4096,
};

struct entry {
	struct guid uuid; // entryUUID; of LDIF entries without one, derived from the DN
	bool has_uuid;    // the directory gave it
	bool cut;         // it is larger than fits: only its addresses are here, and nobody knows more
	unsigned classes; // ENTRY_*
	struct str dn;    // as the directory writes it
	struct str values; // encoded; for entry_next
	uint64_t attrs[(ATTR_NUMBER_MAX + 1) / 64]; // a bit for each attribute that has values
};

// Checks the whole blob, so that later reads cannot fail. False: damaged or of a newer version; entry untouched.
bool entry_decode(struct str blob, struct entry *entry_out);

// The first value of an attribute; {NULL, 0} when there is none (an empty value has p set).
struct str entry_first(const struct entry *entry, enum attr attr);
bool entry_has(const struct entry *entry, enum attr attr);

// Each value of one attribute in turn, from a zeroed cursor.
struct entry_cursor {
	size_t at;
};
bool entry_next(const struct entry *entry, enum attr attr, struct entry_cursor *cursor, struct str *value_out);

// Each value of all attributes in turn.
bool entry_each(const struct entry *entry, struct entry_cursor *cursor, enum attr *attr_out, struct str *value_out);

// TRUE, in any case.
bool entry_flag(const struct entry *entry, enum attr attr);

// The storage id: phMailboxId, else the uuid when the directory gave one. False when there is neither: no mailbox.
bool entry_mailbox_id(const struct entry *entry, struct guid *id_out);

// phStatus (schema/entry_status.h); without one it is active.
enum entry_status entry_status(const struct entry *entry);

// phClassOfService, as names to look for, one after the other from tries 0 on: the class that it names, then the class "default",
// which stands in for one that nobody has. False: there is no other. An entry without phClassOfService has none.
bool entry_class_of_service(const struct entry *entry, unsigned tries, struct str *name_out);
bool entry_class_is_default(const struct entry *entry); // it names "default" itself: that nobody has it is no mistake

// phExpires has passed (RFC 4517 GeneralizedTime); an entry without it never expires.
bool entry_is_expired(const struct entry *entry, int64_t now_wall_ms);

// RFC 4517 GeneralizedTime ("20261121190000Z", fractions and offsets too) as milliseconds since 1970; false when it is none.
bool entry_time_parse(struct str text, int64_t *wall_ms_out);

// Texts for people may be there in several languages (phVacationText;lang-de, RFC 3866): then the value is the language between
// two bytes 0x1f, and the text. Subjects and texts of phVacation alone; of other attributes the option is not kept.
bool entry_has_languages(enum attr attr);
bool entry_is_language(struct str lang); // a tag such as "de" or "pt-br": letters, digits, "-"; at most 40
struct str entry_with_language(struct arena *arena, struct str lang, struct str text);
// Takes the language off a value; empty, and the value as it was: it has none.
struct str entry_take_language(struct str *value);
// The text in one of the languages, the first that there is, best first ("de" is there for "de-CH" too, and "de-CH" for "de");
// else the one without a language, else the first. {NULL, 0}: there is none. *lang_out: of it; may be empty.
struct str entry_text(const struct entry *entry, enum attr attr, const struct str *langs, size_t n, struct str *lang_out);

// Making a blob: the head, then values in ascending order of attribute numbers. False when b overflows.
bool entry_begin(struct buf *b, const struct guid *uuid, bool has_uuid, unsigned classes, struct str dn);
bool entry_add(struct buf *b, enum attr attr, struct str value);
void entry_mark_cut(struct buf *b); // any time after entry_begin

// The last thing, of what goes to a disk: a byte of a sealed blob that is not as it was written makes it one that does not
// decode, where else a value would be another one. Once; nothing may be added after it.
bool entry_seal(struct buf *b);

#endif
