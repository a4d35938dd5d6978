// SPDX-License-Identifier: Apache-2.0
// A folder for tests of the shadow: an LDIF file, both images made from it, a reader of them, and what is logged meanwhile.
#ifndef LDAPSYNC_TEST_PLACE_H
#define LDAPSYNC_TEST_PLACE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "ldapsync/directory.h"
#include "load.h"
#include "schema/ddl_shadow.h"

struct place {
	char dir[40], shadow_path[64], credentials_path[64], ldif_path[64];
	struct images images; // open between open_target and close_target
	struct directory *directory;
	struct arena *arena;
	struct buf log;
};

static inline int place_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

// Without images: who writes opens them.
static inline void place_init(struct place *place)
{
	snprintf(place->dir, sizeof place->dir, "/tmp/posthouse-shadow-XXXXXX");
	assert_non_null(mkdtemp(place->dir));
	snprintf(place->shadow_path, sizeof place->shadow_path, "%s/shadow.db", place->dir);
	snprintf(place->credentials_path, sizeof place->credentials_path, "%s/credentials.db", place->dir);
	snprintf(place->ldif_path, sizeof place->ldif_path, "%s/people.ldif", place->dir);
	place->directory = directory_open(place->shadow_path, 30);
	place->arena = arena_new(16 << 20);
	buf_init(&place->log, 1 << 20);
	log_capture_begin(&place->log);
}

static inline void place_fini(struct place *place)
{
	log_capture_end();
	directory_close(&place->directory);
	arena_free(&place->arena);
	buf_fini(&place->log);
	nftw(place->dir, place_remove, 8, FTW_DEPTH | FTW_PHYS);
}

static inline void open_target(struct place *place)
{
	struct err err;
	assert_int_equal(image_open(place->shadow_path, &ddl_shadow, &place->images.shadow, &err), ERR_OK);
	assert_int_equal(image_open(place->credentials_path, &ddl_credentials, &place->images.credentials, &err), ERR_OK);
}

static inline void close_target(struct place *place)
{
	image_close(&place->images.shadow);
	image_close(&place->images.credentials);
}

static inline int setup(void **state)
{
	struct place *place = calloc(1, sizeof *place);
	place_init(place);
	open_target(place);
	*state = place;
	return 0;
}

static inline int teardown(void **state)
{
	struct place *place = *state;
	close_target(place);
	place_fini(place);
	free(place);
	return 0;
}

// Replaces the file by a rename, as an administrator should.
static inline void write_ldif(struct place *place, const char *text)
{
	char temporary[80];
	snprintf(temporary, sizeof temporary, "%s.new", place->ldif_path);
	FILE *file = fopen(temporary, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(rename(temporary, place->ldif_path), 0);
}

static inline struct load_report load(struct place *place, const char *text)
{
	struct load_report report;
	struct err err = {0};
	write_ldif(place, text);
	if (load_ldif(&place->images, place->ldif_path, NULL, &report, &err) != LOAD_DONE)
		fail_msg("load: %s", err.text);
	return report;
}

static inline enum directory_answer find(struct place *place, enum directory_key kind, const char *key,
	struct directory_match *match)
{
	return directory_find(place->directory, kind, str_of_c(key), place->arena, match);
}

static inline void assert_value(const struct entry *entry, enum attr attr, const char *value)
{
	struct str found = entry_first(entry, attr);
	if (!str_eq(found, str_of_c(value)))
		fail_msg("%s is \"%.*s\", not \"%s\"", attr_name(attr), STR_FMT(found), value);
}

#define DOMAIN "dn: associatedDomain=uni.example,dc=uni\nobjectClass: phMailDomain\nassociatedDomain: uni.example\nphDomainType: local\n\n"
#define HOST \
	"dn: cn=mb1,ou=hosts,dc=uni\nobjectClass: phMailHost\ncn: mb1.uni.example\nphHostEndpoint: lmtp=inet:127.0.0.1:24\n" \
	"phHostTlsPin: sha256:00\n\n"
#define ANNA \
	"dn: uid=anna,ou=people,dc=uni\nobjectClass: inetOrgPerson\nobjectClass: phMailUser\nuid: anna\ncn: Anna\n" \
	"mail: anna@uni.example\nmailLocalAddress: Anna.Berg@UNI.example\nmailHost: MB1.uni.example\n" \
	"userPassword: {SSHA}abc\nphScram: SCRAM-SHA-256$4096:c2FsdA==$a:b\n" \
	"entryUUID: 11111111-1111-1111-1111-111111111111\n\n"

static inline void write_many(struct place *place, unsigned users, const char *host)
{
	FILE *file = fopen(place->ldif_path, "w");
	assert_non_null(file);
	fputs(DOMAIN HOST, file);
	for (unsigned i = 0; i < users; i++)
		fprintf(file, "dn: uid=u%05u,ou=people,dc=uni,dc=example\nobjectClass: inetOrgPerson\nobjectClass: phMailUser\nuid: u%05u\n"
			      "cn: User Number %u\ndisplayName: User Number %u\nmail: u%05u@uni.example\n"
			      "mailLocalAddress: user.number.%u@uni.example\nmailHost: %s\nuserPassword: {SSHA}0123456789012345678901234567\n"
			      "phMailboxId: %032x\nentryUUID: 00000000-0000-4000-8000-%012x\n\n",
			i, i, i, i, i, i, host, i + 1, i + 1);
	assert_int_equal(fclose(file), 0);
}

static inline void load_many(struct place *place, struct load_report *report)
{
	struct err err = {0};
	if (load_ldif(&place->images, place->ldif_path, NULL, report, &err) != LOAD_DONE)
		fail_msg("load: %s", err.text);
	images_checkpoint(&place->images);
}

#endif
