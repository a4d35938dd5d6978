// SPDX-License-Identifier: Apache-2.0
// The profiles that we ship: the lines of schema/profiles/NAME.def.
#include "base/must.h"
#include "schema/profile.h"

#define PROFILE_LINE(text) text,
static const char *const native[] = {NULL};
static const char *const laser[] = {
#include "profiles/laser.def"
	NULL};
static const char *const courier[] = {
#include "profiles/courier.def"
	NULL};
static const char *const zimbra[] = {
#include "profiles/zimbra.def"
	NULL};
static const char *const ad[] = {
#include "profiles/ad.def"
	NULL};
static const char *const qmail_ldap[] = {
#include "profiles/qmail-ldap.def"
	NULL};
static const char *const sun[] = {
#include "profiles/sun.def"
	NULL};
static const char *const kolab[] = {
#include "profiles/kolab.def"
	NULL};
#undef PROFILE_LINE

static const struct {
	const char *name;
	const char *const *lines;
} families[] = {
	[SETTINGS_LDAP_PROFILE_NATIVE] = {"native", native},
	[SETTINGS_LDAP_PROFILE_LASER] = {"laser", laser},
	[SETTINGS_LDAP_PROFILE_COURIER] = {"courier", courier},
	[SETTINGS_LDAP_PROFILE_ZIMBRA] = {"zimbra", zimbra},
	[SETTINGS_LDAP_PROFILE_AD] = {"ad", ad},
	[SETTINGS_LDAP_PROFILE_QMAIL_LDAP] = {"qmail-ldap", qmail_ldap},
	[SETTINGS_LDAP_PROFILE_SUN] = {"sun", sun},
	[SETTINGS_LDAP_PROFILE_KOLAB] = {"kolab", kolab},
};

const char *profile_name(int family)
{
	return family >= 0 && (size_t)family < sizeof families / sizeof *families ? families[family].name : NULL;
}

const char *const *profile_lines(int family)
{
	must(family >= 0 && (size_t)family < sizeof families / sizeof *families);
	return families[family].lines;
}
