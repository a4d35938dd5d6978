// SPDX-License-Identifier: Apache-2.0
// Reading an entry of libldap. Room for its values is kept from entry to entry.
#include "ldap_entry.h"

#include <stdlib.h>

#include "base/must.h"

struct ldap_entry {
	struct raw_value *values; // owned
	size_t n, room;
	BerVarray *arrays; // owned; arrays of libldap whose values are borrowed from the message
	size_t n_arrays, room_arrays;
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
	for (size_t i = 0; i < entry->n_arrays; i++)
		ber_memfree(entry->arrays[i]);
	if (entry->ber)
		ber_free(entry->ber, 0);
	entry->ber = NULL;
	entry->n = entry->n_arrays = 0;
}

void ldap_entry_free(struct ldap_entry **entry_in)
{
	struct ldap_entry *entry = *entry_in;
	if (entry == NULL)
		return;
	ldap_entry_clear(entry);
	free(entry->values);
	free(entry->arrays);
	free(entry);
	*entry_in = NULL;
}

static void add_array(struct ldap_entry *entry, BerVarray array)
{
	if (entry->n_arrays == entry->room_arrays) {
		entry->room_arrays = entry->room_arrays ? 2 * entry->room_arrays : 64;
		entry->arrays = reallocarray(entry->arrays, entry->room_arrays, sizeof *entry->arrays);
		must(entry->arrays != NULL);
	}
	entry->arrays[entry->n_arrays++] = array;
}

// "userPassword;x-hashed" is userPassword, as in LDIF.
static struct str without_options(struct str name)
{
	ptrdiff_t options = str_index(name, ';');
	return options < 0 ? name : str_upto(name, (size_t)options);
}

static void add_value(struct ldap_entry *entry, struct str name, const struct berval *value)
{
	if (entry->n == entry->room) {
		entry->room = entry->room ? 2 * entry->room : 256;
		entry->values = reallocarray(entry->values, entry->room, sizeof *entry->values);
		must(entry->values != NULL);
	}
	entry->values[entry->n++] = (struct raw_value){.name = name, .value = str_of(value->bv_val, value->bv_len)};
}

bool ldap_entry_read(struct ldap_entry *entry, LDAP *ld, LDAPMessage *message, struct raw_entry *entry_out)
{
	struct berval dn, name;
	BerVarray values;
	ldap_entry_clear(entry);
	if (ldap_get_dn_ber(ld, message, &entry->ber, &dn) != LDAP_SUCCESS)
		return false;
	for (;;) {
		if (ldap_get_attribute_ber(ld, message, entry->ber, &name, &values) != LDAP_SUCCESS)
			return false;
		if (name.bv_val == NULL)
			break;
		if (values)
			add_array(entry, values);
		struct str plain = without_options(str_of(name.bv_val, name.bv_len));
		for (size_t i = 0; values && values[i].bv_val; i++)
			add_value(entry, plain, &values[i]);
	}
	*entry_out = (struct raw_entry){.dn = str_of(dn.bv_val, dn.bv_len), .values = entry->values, .n_values = entry->n};
	return true;
}
