// SPDX-License-Identifier: Apache-2.0
// Loading LDIF files into a real shadow and reading it back: what a reader sees after good, changed, damaged, lying and killed loads.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "ldapsync/credentials.h"
#include "ldapsync/directory.h"
#include "load.h"
#include "schema/ddl_shadow.h"
#include "verify.h"

struct place {
	char dir[32];
	char shadow_path[64], credentials_path[64], ldif_path[64];
	struct images images;
	struct directory *directory;
	struct arena *arena;
	struct buf log;
};

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void open_target(struct place *place)
{
	struct err err;
	assert_int_equal(image_open(place->shadow_path, &ddl_shadow, &place->images.shadow, &err), ERR_OK);
	assert_int_equal(image_open(place->credentials_path, &ddl_credentials, &place->images.credentials, &err), ERR_OK);
}

static void close_target(struct place *place)
{
	image_close(&place->images.shadow);
	image_close(&place->images.credentials);
}

static int setup(void **state)
{
	struct place *place = calloc(1, sizeof *place);
	snprintf(place->dir, sizeof place->dir, "/tmp/posthouse-load-XXXXXX");
	assert_non_null(mkdtemp(place->dir));
	snprintf(place->shadow_path, sizeof place->shadow_path, "%s/shadow.db", place->dir);
	snprintf(place->credentials_path, sizeof place->credentials_path, "%s/credentials.db", place->dir);
	snprintf(place->ldif_path, sizeof place->ldif_path, "%s/people.ldif", place->dir);
	place->directory = directory_open(place->shadow_path, 30);
	place->arena = arena_new(16 << 20);
	buf_init(&place->log, 1 << 20);
	log_capture_begin(&place->log);
	open_target(place);
	*state = place;
	return 0;
}

static int teardown(void **state)
{
	struct place *place = *state;
	log_capture_end();
	close_target(place);
	directory_close(&place->directory);
	arena_free(&place->arena);
	buf_fini(&place->log);
	nftw(place->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(place);
	return 0;
}

// Replaces the file by a rename, as an administrator should.
static void write_ldif(struct place *place, const char *text)
{
	char temporary[80];
	snprintf(temporary, sizeof temporary, "%s.new", place->ldif_path);
	FILE *file = fopen(temporary, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(rename(temporary, place->ldif_path), 0);
}

static struct load_report load(struct place *place, const char *text)
{
	struct load_report report;
	struct err err = {0};
	write_ldif(place, text);
	if (load_ldif(&place->images, place->ldif_path, NULL, &report, &err) != LOAD_DONE)
		fail_msg("load: %s", err.text);
	return report;
}

static enum directory_answer find(struct place *place, enum directory_key kind, const char *key, struct directory_match *match)
{
	return directory_find(place->directory, kind, str_of_c(key), place->arena, match);
}

static void assert_value(const struct entry *entry, enum attr attr, const char *value)
{
	struct str found = entry_first(entry, attr);
	if (!str_eq(found, str_of_c(value)))
		fail_msg("%s is \"%.*s\", not \"%s\"", attr_name(attr), STR_FMT(found), value);
}

#define DOMAIN "dn: associatedDomain=uni.example,dc=uni\nobjectClass: phMailDomain\nassociatedDomain: uni.example\nphDomainType: local\n\n"
#define HOST                                                                                                                   \
	"dn: cn=mb1,ou=hosts,dc=uni\nobjectClass: phMailHost\ncn: mb1.uni.example\nphHostEndpoint: lmtp=inet:127.0.0.1:24\n"   \
	"phHostTlsPin: sha256:00\n\n"
#define ANNA                                                                                                                   \
	"dn: uid=anna,ou=people,dc=uni\nobjectClass: inetOrgPerson\nobjectClass: phMailUser\nuid: anna\ncn: Anna\n"            \
	"mail: anna@uni.example\nmailLocalAddress: Anna.Berg@UNI.example\nmailHost: MB1.uni.example\n"                        \
	"userPassword: {SSHA}abc\nphScram: SCRAM-SHA-256$4096:c2FsdA==$a:b\n"                                                  \
	"entryUUID: 11111111-1111-1111-1111-111111111111\n\n"

static void test_load_and_look_up(void **state)
{
	struct place *place = *state;
	struct directory_match match;
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "anna@uni.example", &match), DIRECTORY_UNAVAILABLE); // never complete: never NONE
	assert_false(directory_status(place->directory).complete);
	load(place, DOMAIN HOST ANNA);
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "anna.berg@uni.example", &match), DIRECTORY_FOUND);
	assert_value(match.entry, ATTR_MAIL_HOST, "mb1.uni.example");
	assert_true(match.entry->classes & ENTRY_USER);
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "nobody@uni.example", &match), DIRECTORY_NONE);
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "*@uni.example", &match), DIRECTORY_NONE);
	assert_int_equal(find(place, DIRECTORY_DOMAIN, "uni.example", &match), DIRECTORY_FOUND);
	assert_int_equal(find(place, DIRECTORY_HOST, "mb1.uni.example", &match), DIRECTORY_FOUND);
	assert_int_equal(find(place, DIRECTORY_PIN, "sha256:00", &match), DIRECTORY_FOUND);
	assert_int_equal(find(place, DIRECTORY_LOGIN, "anna@uni.example", &match), DIRECTORY_FOUND);
	assert_int_equal(find(place, DIRECTORY_DN, "UID=Anna, ou=People,DC=uni", &match), DIRECTORY_FOUND);
	struct guid id;
	assert_true(entry_mailbox_id(match.entry, &id));
	assert_int_equal(directory_find(place->directory, DIRECTORY_MAILBOX, guid_bytes(&id), place->arena, &match), DIRECTORY_FOUND);
	assert_int_equal(directory_find(place->directory, DIRECTORY_UUID, guid_bytes(&id), place->arena, &match), DIRECTORY_FOUND);
	struct directory_status status = directory_status(place->directory);
	assert_true(status.complete && status.fresh && status.version == 1 && status.entries == 3 && status.age_s >= 0);
}

// What only an authenticator may see is not in the shadow, in no byte of it.
static void test_no_hash_in_the_shadow(void **state)
{
	struct place *place = *state;
	struct err err;
	load(place, DOMAIN HOST ANNA);
	struct directory_match match;
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "anna@uni.example", &match), DIRECTORY_FOUND);
	assert_false(entry_has(match.entry, ATTR_USER_PASSWORD) || entry_has(match.entry, ATTR_PH_SCRAM));
	struct buf bytes;
	int dir;
	buf_init(&bytes, 64 << 20);
	assert_int_equal(file_dir_open(str_of_c(place->dir), &dir, &err), ERR_OK);
	assert_int_equal(file_read(dir, STR("shadow.db"), &bytes, &err), ERR_OK);
	assert_int_equal(file_read(dir, STR("shadow.db-wal"), &bytes, &err), ERR_OK);
	assert_true(str_find(buf_str(&bytes), STR("anna@uni.example")) >= 0);
	assert_true(str_find(buf_str(&bytes), STR("{SSHA}")) < 0);
	assert_true(str_find(buf_str(&bytes), STR("SCRAM-SHA-256$")) < 0);
	file_close(dir);
	buf_fini(&bytes);
}

static void test_diff(void **state)
{
	struct place *place = *state;
	struct directory_match match;
	struct load_report report = load(place, DOMAIN HOST ANNA);
	assert_int_equal(report.counters.added, 3);
	report = load(place, "# the same in another order\n" ANNA HOST DOMAIN);
	assert_int_equal(report.counters.unchanged, 3);
	assert_int_equal(report.counters.added + report.counters.changed + report.counters.deleted, 0);
	assert_int_equal(directory_status(place->directory).version, 1);
	struct err err;
	assert_int_equal(load_ldif(&place->images, place->ldif_path, NULL, &report, &err), LOAD_UNCHANGED);
	// A rename of the entry and of an address: the uuid is the entry.
	report = load(place, DOMAIN HOST
		"dn: uid=berg,ou=people,dc=uni\nobjectClass: phMailUser\nuid: berg\nmail: berg@uni.example\nmailHost: mb2.uni.example\n"
		"entryUUID: 11111111-1111-1111-1111-111111111111\n");
	assert_int_equal(report.counters.changed, 1);
	assert_int_equal(report.counters.moved, 1);
	assert_int_equal(report.counters.deleted, 0);
	assert_int_equal(directory_status(place->directory).version, 2);
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "anna@uni.example", &match), DIRECTORY_NONE);
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "berg@uni.example", &match), DIRECTORY_FOUND);
	assert_int_equal(find(place, DIRECTORY_DN, "uid=anna,ou=people,dc=uni", &match), DIRECTORY_NONE);
	report = load(place, DOMAIN HOST);
	assert_int_equal(report.counters.deleted, 1);
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "berg@uni.example", &match), DIRECTORY_NONE);
}

// A view that keeps its snapshot sees a commit a moment later, and none is kept open for long.
static void test_kept_snapshot(void **state)
{
	struct place *place = *state;
	struct clock_fake now = {.mono_ms = 1000, .wall_ms = 1795286655000};
	struct directory_match match;
	clock_inject(&now);
	load(place, DOMAIN HOST);
	now.mono_ms += 2000; // the file is looked for once a second
	directory_keep(place->directory, true);
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "anna@uni.example", &match), DIRECTORY_NONE);
	assert_true(directory_is_kept(place->directory));
	load(place, DOMAIN HOST ANNA);
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "anna@uni.example", &match), DIRECTORY_NONE);
	now.mono_ms += DIRECTORY_KEEP_MS;
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "anna@uni.example", &match), DIRECTORY_FOUND);
	directory_begin(place->directory);
	directory_let_go(place->directory); // in use: it stays
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "anna@uni.example", &match), DIRECTORY_FOUND);
	directory_end(place->directory);
	load(place, DOMAIN HOST);
	directory_let_go(place->directory);
	assert_false(directory_is_kept(place->directory));
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "anna@uni.example", &match), DIRECTORY_NONE);
	clock_inject(NULL);
}

// Domains and hosts are kept by a reader, for one version only.
static void test_domain_changes(void **state)
{
	struct place *place = *state;
	struct directory_match match;
	load(place, DOMAIN HOST ANNA);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(find(place, DIRECTORY_DOMAIN, "uni.example", &match), DIRECTORY_FOUND);
		assert_value(match.entry, ATTR_PH_DOMAIN_TYPE, "local");
		assert_int_equal(find(place, DIRECTORY_HOST, "mb1.uni.example", &match), DIRECTORY_FOUND);
	}
	load(place, ANNA "dn: associatedDomain=uni.example,dc=uni\nobjectClass: phMailDomain\nassociatedDomain: uni.example\nphDomainType: relay\n");
	assert_int_equal(find(place, DIRECTORY_DOMAIN, "uni.example", &match), DIRECTORY_FOUND);
	assert_value(match.entry, ATTR_PH_DOMAIN_TYPE, "relay");
	assert_int_equal(find(place, DIRECTORY_HOST, "mb1.uni.example", &match), DIRECTORY_NONE);
}

static void assert_load_fails(struct place *place, const char *text, const char *error)
{
	struct load_report report;
	struct directory_match match;
	struct err err = {0};
	write_ldif(place, text);
	assert_int_equal(load_ldif(&place->images, place->ldif_path, NULL, &report, &err), LOAD_FAILED);
	if (str_find(str_of_c(err.text), str_of_c(error)) < 0)
		fail_msg("error is \"%s\", not \"%s\"", err.text, error);
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "anna@uni.example", &match), DIRECTORY_FOUND); // the old view serves
	assert_false(directory_status(place->directory).fresh);                                        // but nobody is unknown for good
	assert_true(directory_status(place->directory).complete);
}

static void test_damaged_files(void **state)
{
	struct place *place = *state;
	load(place, DOMAIN HOST ANNA);
	assert_load_fails(place, DOMAIN HOST "dn: uid=x,dc=uni\nobjectClass phMailUser\n", "people.ldif:13: not \"attribute: value\"");
	assert_load_fails(place, DOMAIN HOST "dn: uid=x,dc=uni\nmail:: ???\n", "people.ldif:13: bad base64");
	assert_load_fails(place, " folded\n", "people.ldif:1: a continuation");
	assert_load_fails(place, "dn: uid=x,dc=uni\nuserPassword:< file:///etc/shadow\n", "people.ldif:2: a value from a URL");
	assert_load_fails(place, "dn: uid=x,dc=uni\nchangetype: delete\n", "people.ldif:2: a change record");
	assert_load_fails(place, "mail: a@b\n", "people.ldif:1: an entry begins with");
	assert_load_fails(place, "\x7f\x45LF\x02\x01\x01", "people.ldif:1: ");
	assert_load_fails(place, "", "holds no entry of ours"); // cut to nothing: nobody deletes everybody by accident
	assert_load_fails(place, "version: 2\n", "version 1");
	unlink(place->ldif_path);
	struct load_report report;
	struct err err;
	assert_int_equal(load_ldif(&place->images, place->ldif_path, NULL, &report, &err), LOAD_FAILED);
	load(place, DOMAIN HOST ANNA);
	assert_true(directory_status(place->directory).fresh);
	assert_int_equal(directory_status(place->directory).version, 1); // nothing changed meanwhile
}

static void test_folding_and_base64(void **state)
{
	struct place *place = *state;
	struct directory_match match;
	load(place, "version: 1\r\n# comment\r\n  goes on\r\ndn:: dWlkPWLDvHJnZXIsZGM9dW5p\r\nobjectClass: phMail\r\n User\r\n"
		    "mail;x-work: bu\r\n erger@uni.exam\r\n ple\r\ncn:: QsO8cmdlcg==\r\nphMailboxId: 22222222222222222222222222222222\r\n");
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "buerger@uni.example", &match), DIRECTORY_FOUND);
	assert_value(match.entry, ATTR_CN, "B\xc3\xbcrger");
	assert_true(str_eq(match.entry->dn, STR("uid=b\xc3\xbcrger,dc=uni")));
	assert_int_equal(find(place, DIRECTORY_DN, "uid=B\\C3\\9CRGER,dc=uni", &match), DIRECTORY_FOUND);
}

// Threat evil-attr: refused when read, reported with its place.
static void test_evil_attr(void **state)
{
	struct place *place = *state;
	struct directory_match match;
	struct load_report report = load(place, DOMAIN
		"dn: uid=eve,dc=uni\nobjectClass: phMailUser\nuid: eve\nmail: eve@uni.example\nphForwardAddress: |/bin/sh\n"
		"phForwardAddress: \"|/bin/sh\"@uni.example\nphForwardAddress: /etc/passwd\nphForwardAddress: :include:/etc/passwd\n"
		"phForwardAddress:: YUBiLmV4YW1wbGUNCkJjYzogeEB5\nphForwardAddress: good@else.example\n"
		"mailHost:: bWIxLnVuaS5leGFtcGxlDQpRVUlU\nphMailboxId: ../../etc\nentryUUID: 33333333-3333-3333-3333-333333333333\n");
	assert_int_equal(report.complaints.refused, 8); // seven values, and the mailbox without an id
	assert_true(str_find(buf_str(&place->log), STR("line=10")) >= 0);
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "eve@uni.example", &match), DIRECTORY_FOUND);
	struct entry_cursor cursor = {0};
	struct str value;
	assert_true(entry_next(match.entry, ATTR_PH_FORWARD_ADDRESS, &cursor, &value));
	assert_true(str_eq(value, STR("good@else.example")));
	assert_false(entry_next(match.entry, ATTR_PH_FORWARD_ADDRESS, &cursor, &value));
	assert_false(entry_has(match.entry, ATTR_MAIL_HOST));
	struct guid id;
	assert_false(entry_mailbox_id(match.entry, &id)); // a bad phMailboxId is not replaced by another mailbox
}

static void test_two_owners(void **state)
{
	struct place *place = *state;
	struct directory_match match;
	struct load_report report = load(place, DOMAIN ANNA
		"dn: uid=anna2,dc=uni\nobjectClass: phMailUser\nuid: anna2\nmail: anna.berg@uni.example\n"
		"entryUUID: 44444444-4444-4444-4444-444444444444\n");
	assert_int_equal(report.complaints.conflicts, 1);
	assert_true(str_find(buf_str(&place->log), STR("anna.berg@uni.example")) >= 0);
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "anna.berg@uni.example", &match), DIRECTORY_AMBIGUOUS);
	assert_non_null(match.entry);
	assert_non_null(match.other);
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "anna@uni.example", &match), DIRECTORY_FOUND);
	load(place, DOMAIN ANNA);
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "anna.berg@uni.example", &match), DIRECTORY_FOUND);
	// Two logins are a conflict, one certificate for two hosts is none.
	report = load(place, DOMAIN ANNA HOST
		"dn: cn=mb2\nobjectClass: phMailHost\ncn: mb2\nphHostTlsPin: sha256:00\n\n"
		"dn: uid=x\nobjectClass: phMailUser\nuid: Anna\nmail: x@uni.example\nphMailboxId: 99999999999999999999999999999999\n");
	assert_int_equal(report.complaints.conflicts, 1);
	assert_int_equal(find(place, DIRECTORY_LOGIN, "anna@uni.example", &match), DIRECTORY_AMBIGUOUS);
}

static void test_hosts_of_one_node_share_its_pin(void **state)
{
	struct place *place = *state;
	struct directory_match match;
	struct load_report report = load(place, DOMAIN HOST "dn: cn=mb2,ou=hosts,dc=uni\nobjectClass: phMailHost\ncn: mb2.uni.example\n"
		"phHostEndpoint: lmtp=inet:127.0.0.1:24\nphHostTlsPin: sha256:00\n\n");
	assert_int_equal(report.complaints.conflicts, 0);
	assert_int_equal(find(place, DIRECTORY_PIN, "sha256:00", &match), DIRECTORY_AMBIGUOUS);
}

static void test_one_uuid_twice(void **state)
{
	struct place *place = *state;
	struct directory_match match;
	struct guid id;
	load(place, DOMAIN ANNA
		"dn: uid=copy,dc=uni\nobjectClass: phMailUser\nuid: copy\nmail: copy@uni.example\n"
		"entryUUID: 11111111-1111-1111-1111-111111111111\n");
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "anna@uni.example", &match), DIRECTORY_FOUND);
	assert_true(entry_mailbox_id(match.entry, &id));
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "copy@uni.example", &match), DIRECTORY_FOUND); // known, but without a mailbox
	assert_false(entry_mailbox_id(match.entry, &id));
}

static void test_modes_and_readers_without_a_writer(void **state)
{
	struct place *place = *state;
	struct stat st;
	char name[80];
	struct directory_match match;
	load(place, DOMAIN HOST ANNA);
	close_target(place);
	assert_int_equal(stat(place->shadow_path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	static const char *const suffixes[] = {"-wal", "-shm"};
	for (int i = 0; i < 2; i++) {
		snprintf(name, sizeof name, "%s%s", place->shadow_path, suffixes[i]);
		assert_int_equal(stat(name, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0660);
	}
	// As after a reboot: nobody has the file open, a new reader comes.
	directory_close(&place->directory);
	place->directory = directory_open(place->shadow_path, 30);
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "anna@uni.example", &match), DIRECTORY_FOUND);
	assert_true(directory_status(place->directory).fresh);
	open_target(place);
}

static void test_file_is_replaced(void **state)
{
	struct place *place = *state;
	struct directory_match match;
	load(place, DOMAIN HOST ANNA);
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "anna@uni.example", &match), DIRECTORY_FOUND);
	images_checkpoint(&place->images);
	assert_int_equal(truncate(place->shadow_path, 5000), 0); // damage: an error, never "unknown"
	directory_close(&place->directory);
	place->directory = directory_open(place->shadow_path, 30);
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "nobody@uni.example", &match), DIRECTORY_UNAVAILABLE);
	assert_true(directory_trouble(place->directory)[0] != '\0');
}

static void test_reader_before_the_first_load(void **state)
{
	struct place *place = *state;
	struct directory_match match;
	close_target(place);
	assert_int_equal(unlink(place->shadow_path), 0);
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "anna@uni.example", &match), DIRECTORY_UNAVAILABLE);
	open_target(place);
	load(place, DOMAIN HOST ANNA);
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "anna@uni.example", &match), DIRECTORY_FOUND); // now, not a second later
}

// --- Many entries, a writer that is killed, a reader beside a writer ---

static void write_many(struct place *place, unsigned users, const char *host)
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

static void load_many(struct place *place, struct load_report *report)
{
	struct err err = {0};
	if (load_ldif(&place->images, place->ldif_path, NULL, report, &err) != LOAD_DONE)
		fail_msg("load: %s", err.text);
	images_checkpoint(&place->images);
}

// ThreadSanitizer has nothing to find in one thread's large load.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MANY 10000
#endif
#endif
#ifndef MANY
#define MANY 100000
#endif

// Whoever is a recipient is one; only log-ins are gone.
static void test_without_secrets(void **state)
{
	struct place *place = *state;
	struct directory_match match;
	struct image_state secrets;
	struct err err;
	place->images.without_secrets = true;
	load(place, DOMAIN HOST ANNA);
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "anna@uni.example", &match), DIRECTORY_FOUND);
	assert_int_equal(image_state(place->images.credentials, &secrets, &err), ERR_OK);
	assert_int_equal(secrets.entries, 0);
	place->images.without_secrets = false;
	load(place, DOMAIN HOST ANNA); // the same, and yet not what is there
	assert_int_equal(image_state(place->images.credentials, &secrets, &err), ERR_OK);
	assert_int_equal(secrets.entries, 1);
}

static void execute(struct place *place, const char *sql)
{
	sqlite3 *db;
	assert_int_equal(sqlite3_open(place->shadow_path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

// What SQLite has nothing against, and what would make somebody unknown, or found by another's address.
static void test_what_a_look_at_all_of_it_finds(void **state)
{
	struct place *place = *state;
	struct err err;
	assert_int_equal(verify_file(place->shadow_path, &ddl_shadow, NULL, NULL, &err), ERR_OK); // nothing is there yet
	load(place, DOMAIN HOST ANNA);
	assert_int_equal(verify_file(place->shadow_path, &ddl_shadow, NULL, NULL, &err), ERR_OK);
	assert_int_equal(verify_file(place->credentials_path, &ddl_credentials, NULL, NULL, &err), ERR_OK);
	atomic_bool stop = true;
	(void)!verify_file(place->shadow_path, &ddl_shadow, NULL, &stop, &err); // so small that it may be through before it looks
	close_target(place);
	static const char *const changes[] = {
		"DELETE FROM key WHERE kind = 1 AND key = CAST('anna@uni.example' AS BLOB)",
		"UPDATE key SET key = CAST('other@uni.example' AS BLOB) WHERE kind = 1 AND key = CAST('anna@uni.example' AS BLOB)",
		"UPDATE key SET id = id + 1 WHERE kind = 4",
		"INSERT INTO key VALUES(1, CAST('nobody@uni.example' AS BLOB), 1)",
		"DELETE FROM entry WHERE id = (SELECT max(id) FROM entry)",
		"UPDATE entry SET data = x'01' WHERE id = 1",
		"UPDATE entry SET keys = x'01ff' WHERE id = 1",
		"DROP TABLE key",
	};
	for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
		unlink(place->shadow_path);
		open_target(place);
		load(place, DOMAIN HOST ANNA);
		assert_int_equal(verify_file(place->shadow_path, &ddl_shadow, NULL, NULL, &err), ERR_OK);
		close_target(place);
		execute(place, changes[i]);
		if (verify_file(place->shadow_path, &ddl_shadow, NULL, NULL, &err) != ERR_CORRUPT)
			fail_msg("not found: %s", changes[i]);
	}
	unlink(place->shadow_path);
	assert_int_equal(verify_file(place->shadow_path, &ddl_shadow, NULL, NULL, &err), ERR_NOTFOUND);
	open_target(place);
}

static void test_many(void **state)
{
	struct place *place = *state;
	struct load_report report;
	struct directory_match match;
	struct stat st;
	enum { USERS = MANY };
	write_many(place, USERS, "mb1.uni.example");
	load_many(place, &report);
	assert_int_equal(report.entries, USERS + 2);
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "user.number.9999@uni.example", &match), DIRECTORY_FOUND);
	assert_value(match.entry, ATTR_UID, "u09999");
	assert_int_equal(stat(place->shadow_path, &st), 0);
	assert_true(st.st_size / USERS > 100 && st.st_size / USERS <= 800);
	for (unsigned n = 0; n < USERS; n += 997) { // its keys were written in several runs
		char address[64];
		snprintf(address, sizeof address, "u%05u@uni.example", n);
		assert_int_equal(find(place, DIRECTORY_ADDRESS, address, &match), DIRECTORY_FOUND);
		arena_reset(place->arena);
	}
	write_many(place, USERS / 10, "mb1.uni.example");
	load_many(place, &report);
	assert_int_equal(report.counters.deleted, USERS - USERS / 10);
	assert_int_equal(report.counters.unchanged, USERS / 10 + 2);
	assert_int_equal(report.counters.recipients.gone, 2 * (USERS - USERS / 10)); // two addresses each
	assert_int_equal(report.counters.recipients.before, 2 * USERS);
}

static void test_killed_load(void **state)
{
	struct place *place = *state;
	struct load_report report;
	struct directory_match match;
	write_many(place, 5000, "mb1.uni.example");
	load_many(place, &report);
	close_target(place);
	for (unsigned delay_us = 2000; delay_us < 300000; delay_us = delay_us * 3 / 2) {
		pid_t child = fork();
		assert_true(child >= 0);
		if (child == 0) {
			struct err err;
			open_target(place);
			write_many(place, 5000, "mb2.uni.example"); // a new file, all entries differ
			for (;;)
				(void)load_ldif(&place->images, place->ldif_path, NULL, &report, &err);
		}
		usleep(delay_us);
		kill(child, SIGKILL);
		assert_int_equal(waitpid(child, NULL, 0), child);
		// All of one load or all of the other.
		directory_begin(place->directory);
		assert_int_equal(find(place, DIRECTORY_ADDRESS, "u00000@uni.example", &match), DIRECTORY_FOUND);
		struct str first = entry_first(match.entry, ATTR_MAIL_HOST);
		assert_int_equal(find(place, DIRECTORY_ADDRESS, "u04999@uni.example", &match), DIRECTORY_FOUND);
		assert_true(str_eq(first, entry_first(match.entry, ATTR_MAIL_HOST)));
		directory_end(place->directory);
		arena_reset(place->arena);
	}
	open_target(place);
	write_many(place, 5000, "mb3.uni.example");
	load_many(place, &report);
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "u04999@uni.example", &match), DIRECTORY_FOUND);
	assert_value(match.entry, ATTR_MAIL_HOST, "mb3.uni.example");
}

struct watcher {
	struct place *place;
	atomic_bool stop;
	unsigned long looks;
	unsigned long torn;
};

static void *watch(void *arg)
{
	struct watcher *watcher = arg;
	struct directory *directory = directory_open(watcher->place->shadow_path, 30);
	struct arena *arena = arena_new(1 << 20);
	struct directory_match first, last;
	while (!atomic_load(&watcher->stop)) {
		arena_reset(arena);
		directory_begin(directory);
		if (directory_find(directory, DIRECTORY_ADDRESS, STR("u00000@uni.example"), arena, &first) != DIRECTORY_FOUND ||
			directory_find(directory, DIRECTORY_ADDRESS, STR("u00499@uni.example"), arena, &last) != DIRECTORY_FOUND ||
			!str_eq(entry_first(first.entry, ATTR_MAIL_HOST), entry_first(last.entry, ATTR_MAIL_HOST)))
			watcher->torn++;
		directory_end(directory);
		watcher->looks++;
	}
	arena_free(&arena);
	directory_close(&directory);
	return NULL;
}

static void test_reader_beside_writer(void **state)
{
	struct place *place = *state;
	struct load_report report;
	write_many(place, 500, "mb0.uni.example");
	load_many(place, &report);
	struct watcher watcher = {.place = place};
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, watch, &watcher), 0);
	for (unsigned i = 1; i <= 20; i++) {
		char host[32];
		snprintf(host, sizeof host, "mb%u.uni.example", i);
		write_many(place, 500, host);
		load_many(place, &report);
		assert_int_equal(report.counters.changed, 500);
	}
	atomic_store(&watcher.stop, true);
	pthread_join(thread, NULL);
	assert_true(watcher.looks > 0);
	assert_int_equal(watcher.torn, 0);
}

// --- Credentials ---

static void test_credentials(void **state)
{
	struct place *place = *state;
	struct credentials *credentials = credentials_open(place->credentials_path, STR("uni.example"));
	struct sasl_credentials got;
	assert_int_equal(credentials_lookup(credentials, STR("imap"), STR("anna"), place->arena, &got), SASL_UNAVAILABLE);
	credentials_close(&credentials);
	credentials = credentials_open(place->credentials_path, STR("uni.example"));
	load(place, DOMAIN ANNA
		"dn: associatedDomain=cs.example,dc=uni\nobjectClass: phMailDomain\nassociatedDomain: cs.example\nphAuthRealm: uni.example\n\n"
		"dn: uid=bob,dc=uni\nobjectClass: phMailUser\nuid: Bob\nphLoginAlias: bobby\nphLoginAlias: robert@else.example\n"
		"mail: bob@cs.example\nphService: imap\nphAppPassword: phone:imap:{SSHA}p\nphAppPassword: mailer:submission:{SSHA}m\n"
		"userPassword: {SSHA}b\nentryUUID: 55555555-5555-5555-5555-555555555555\n\n"
		"dn: uid=sue,dc=uni\nobjectClass: phMailUser\nuid: sue\nmail: sue@uni.example\nphStatus: Suspended\nuserPassword: {SSHA}s\n"
		"phMailboxId: 66666666-6666-6666-6666-666666666666\n");
	assert_int_equal(credentials_lookup(credentials, STR("imap"), STR("ANNA"), place->arena, &got), SASL_FOUND);
	assert_true(got.allowed && got.passwords_n == 1 && got.scram_n == 1);
	assert_true(str_eq(got.passwords[0], STR("{SSHA}abc")));
	assert_true(str_eq(got.account, STR("11111111111111111111111111111111")));
	static const char *const bobs[] = {"bob", "bob@uni.example", "bobby", "robert@else.example"};
	for (size_t i = 0; i < sizeof bobs / sizeof *bobs; i++) {
		assert_int_equal(credentials_lookup(credentials, STR("imap"), str_of_c(bobs[i]), place->arena, &got), SASL_FOUND);
		assert_true(got.allowed && got.passwords_n == 2);
	}
	assert_int_equal(credentials_lookup(credentials, STR("smtp"), STR("bob"), place->arena, &got), SASL_FOUND);
	assert_false(got.allowed); // phService says imap only
	assert_int_equal(credentials_lookup(credentials, STR("imap"), STR("sue"), place->arena, &got), SASL_FOUND);
	assert_false(got.allowed);
	static const char *const strangers[] = {"nobody", "anna@cs.example", "*", "anna)(uid=*", "", "@uni.example", "anna\n", "%{user}"};
	for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++)
		assert_int_equal(credentials_lookup(credentials, STR("imap"), str_of_c(strangers[i]), place->arena, &got), SASL_UNKNOWN);
	credentials_close(&credentials);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_load_and_look_up, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_hash_in_the_shadow, setup, teardown),
		cmocka_unit_test_setup_teardown(test_diff, setup, teardown),
		cmocka_unit_test_setup_teardown(test_domain_changes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_folding_and_base64, setup, teardown),
		cmocka_unit_test_setup_teardown(test_evil_attr, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kept_snapshot, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two_owners, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hosts_of_one_node_share_its_pin, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_uuid_twice, setup, teardown),
		cmocka_unit_test_setup_teardown(test_modes_and_readers_without_a_writer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_file_is_replaced, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reader_before_the_first_load, setup, teardown),
		cmocka_unit_test_setup_teardown(test_without_secrets, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_a_look_at_all_of_it_finds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed_load, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reader_beside_writer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_credentials, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
