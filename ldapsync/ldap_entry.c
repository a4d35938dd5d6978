// SPDX-License-Identifier: Apache-2.0
// Reading an entry of libldap. Its attributes are taken off the bytes of the message, where they lie: libldap's own calls
// allocate for each of them. Room for the list of values is kept from entry to entry.
#include "ldap_entry.h"

#include <stdlib.h>

#include "base/must.h"
#include "sync_wire.h"

// Values may have no bytes: what a message of 256 MiB can have of them would take 6 GiB here. 100,000 members are a large group.
// Those of one attribute leave room for the others: the addresses may come last.
enum { VALUES_MAX = 8 << 20, ATTRIBUTE_VALUES_MAX = 2 << 20, RANGES_MAX = 16 };

struct ldap_entry {
	struct raw_value *values; // owned
	size_t n, room;
	bool partial, cut; // cut: and what is missing cannot be asked for
	struct raw_range ranges[RANGES_MAX];
	size_t n_ranges;
	BerElement *ber; // owned
};

struct ldap_entry *ldap_entry_new(void)
{
	struct ldap_entry *entry = calloc(1, sizeof *entry);
	must(entry != NULL);
	return entry;
}

void ldap_entry_clear(struct ldap_entry *entry)
{
	if (entry->ber)
		ber_free(entry->ber, 0);
	entry->ber = NULL;
	entry->n = entry->n_ranges = 0;
	entry->partial = entry->cut = false;
}

void ldap_entry_free(struct ldap_entry **entry_in)
{
	struct ldap_entry *entry = *entry_in;
	if (entry == NULL)
		return;
	ldap_entry_clear(entry);
	free(entry->values);
	free(entry);
	*entry_in = NULL;
}

static void add_value(struct ldap_entry *entry, struct str name, struct str lang, struct str value)
{
	if (entry->n == VALUES_MAX) {
		entry->partial = entry->cut = true;
		return;
	}
	if (entry->n == entry->room) {
		entry->room = entry->room ? 2 * entry->room : 256;
		entry->values = reallocarray(entry->values, entry->room, sizeof *entry->values);
		must(entry->values != NULL);
	}
	entry->values[entry->n++] = (struct raw_value){.name = name, .value = value, .lang = lang};
}

static void add_range(struct ldap_entry *entry, struct str name, struct str options)
{
	struct raw_range range = {.name = name, .first = entry->n};
	entry->partial |= raw_option_is_part(options);
	if (entry->n_ranges < RANGES_MAX && raw_range_parse(options, &range.from, &range.to))
		entry->ranges[entry->n_ranges++] = range;
	else
		entry->cut |= raw_option_is_part(options);
}

// PartialAttribute (RFC 4511, 4.1.7): its name and the set of its values.
static bool add_attribute(struct ldap_entry *entry, struct str attribute)
{
	struct str name, options = STR_NONE, values, value;
	if (!sync_wire_take(&attribute, SYNC_WIRE_OCTETS, &name) || !sync_wire_take(&attribute, SYNC_WIRE_SET, &values))
		return false;
	size_t ranges = entry->n_ranges;
	if (str_cut(name, ';', &name, &options)) // "userPassword;x-hashed" is userPassword, as in LDIF
		add_range(entry, name, options);
	struct str lang = raw_option_language(options);
	for (size_t n = 0; values.n > 0 && n < ATTRIBUTE_VALUES_MAX; n++) {
		if (!sync_wire_take(&values, SYNC_WIRE_OCTETS, &value))
			return false;
		add_value(entry, name, lang, value);
	}
	entry->partial |= values.n > 0;
	entry->cut |= values.n > 0;
	if (entry->n_ranges > ranges)
		entry->ranges[ranges].n = entry->n - entry->ranges[ranges].first;
	return true;
}

bool ldap_entry_read(struct ldap_entry *entry, LDAP *ld, LDAPMessage *message, struct raw_entry *entry_out)
{
	struct berval dn, attribute;
	ber_len_t left;
	ldap_entry_clear(entry);
	if (ldap_get_dn_ber(ld, message, &entry->ber, &dn) != LDAP_SUCCESS) // what is left of ber is the list of attributes
		return false;
	while (ber_get_option(entry->ber, LBER_OPT_BER_REMAINING_BYTES, &left) == LBER_OPT_SUCCESS && left > 0)
		if (ber_skip_element(entry->ber, &attribute) != LBER_SEQUENCE ||
			!add_attribute(entry, str_of(attribute.bv_val, attribute.bv_len)))
			return false;
	*entry_out = (struct raw_entry){.dn = str_of(dn.bv_val, dn.bv_len), .values = entry->values, .n_values = entry->n,
		.partial = entry->partial, .ranges = entry->ranges, .n_ranges = entry->cut ? 0 : entry->n_ranges};
	return true;
}
