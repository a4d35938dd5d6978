// SPDX-License-Identifier: Apache-2.0
// Entries as LDIF (RFC 2849): one record each, in the order of their rows.
#include "base/codec.h"
#include "import_private.h"

#define IMPORT_UNIT "import-" // ou=aliases and the like are often there already

// RFC 2849 section 2: SAFE-STRING; a space at the end is not seen, so it is none.
static bool is_safe(struct str s)
{
	if (s.n && (s.p[0] == ' ' || s.p[0] == ':' || s.p[0] == '<' || s.p[s.n - 1] == ' '))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 0x80 || s.p[i] == '\0' || s.p[i] == '\n' || s.p[i] == '\r')
			return false;
	return true;
}

void import_put(struct buf *out, const char *attr, struct str value)
{
	buf_add_c(out, attr);
	if (is_safe(value)) {
		buf_add_c(out, ": ");
		buf_add(out, value);
	} else {
		buf_add_c(out, ":: ");
		codec_base64_add(out, value);
	}
	buf_add_byte(out, '\n');
}

// RFC 4514 section 2.4. "=" need not be escaped and is, for older readers.
static void add_escaped(struct buf *out, struct str value)
{
	for (size_t i = 0; i < value.n; i++) {
		char c = value.p[i];
		bool end = (i == 0 && (c == ' ' || c == '#')) || (i + 1 == value.n && c == ' ');
		if (end || str_index(STR(",+\"\\<>;="), c) >= 0)
			buf_add_byte(out, '\\');
		buf_add_byte(out, c);
	}
}

static const struct {
	const char *rdn, *classes[2], *fixed; // fixed: attribute and value that all have
} shapes[] = {
	[IMPORT_TYPE_ALIAS] = {"cn", {"phMailAlias"}, NULL},
	[IMPORT_TYPE_LIST] = {"cn", {"phMailGroup", "phMailList"}, NULL},
	[IMPORT_TYPE_DOMAIN] = {"associatedDomain", {"phMailDomain"}, "phDomainType: local\n"},
	[IMPORT_TYPE_ROUTE] = {"cn", {"phMailRoute"}, NULL},
	[IMPORT_TYPE_ACCESS] = {"cn", {"phMailAccess"}, NULL},
};

void import_dn(const struct import *im, const struct import_entry *entry, struct buf *out)
{
	buf_printf(out, "%s=", shapes[entry->type].rdn);
	add_escaped(out, entry->name);
	if (!im->options->below_base)
		buf_printf(out, ",ou=" IMPORT_UNIT "%s", import_kind_name(im->kind));
	buf_add_byte(out, ',');
	buf_add(out, im->options->base);
}

static void put_entry(const struct import *im, const struct import_entry *entry, struct buf *out)
{
	struct buf dn;
	buf_init(&dn, IMPORT_DN_BYTES_MAX);
	import_dn(im, entry, &dn);
	buf_add_byte(out, '\n');
	import_put(out, "dn", buf_str(&dn));
	buf_fini(&dn);
	for (size_t i = 0; i < 2 && shapes[entry->type].classes[i]; i++)
		import_put(out, "objectClass", str_of_c(shapes[entry->type].classes[i]));
	import_put(out, shapes[entry->type].rdn, entry->name);
	if (shapes[entry->type].fixed)
		buf_add_c(out, shapes[entry->type].fixed);
	for (const struct import_value *value = entry->values; value; value = value->next)
		if (!value->dropped)
			import_put(out, value->attr, value->text);
}

void import_write(const struct import *im, struct buf *out)
{
	const char *kind = import_kind_name(im->kind);
	buf_printf(out, "\n# made by posthouse directory import %s\n", kind);
	if (!im->options->below_base) {
		buf_printf(out, "dn: ou=" IMPORT_UNIT "%s,", kind);
		buf_add(out, im->options->base);
		buf_printf(out, "\nobjectClass: organizationalUnit\nou: " IMPORT_UNIT "%s\n", kind);
	}
	for (size_t i = 0; i < im->n; i++)
		if (!im->entries[i]->dropped)
			put_entry(im, im->entries[i], out);
}
