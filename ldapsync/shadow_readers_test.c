// SPDX-License-Identifier: Apache-2.0
// What readers of the shadow see: beside a writer, after one that was killed, of a file that is new, old, damaged or another.
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "ldapsync/credentials.h"
#include "test_place.h"
#include "verify.h"

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

#define ACCESS(n, key)                                                                                                           \
	"dn: cn=" n ",dc=uni\nobjectClass: phMailAccess\ncn: " n "\nphAccessKey: " key "\nphAccessAction: REJECT\n\n"

static void assert_next_access(struct place *place, const char *from, const char *key)
{
	struct str found = directory_next_key(place->directory, DIRECTORY_ACCESS, str_of_c(from), place->arena);
	assert_true(str_eq(found, str_of_c(key)));
}

// That a table has no rows is remembered, and which key comes next, for one version only.
static void test_tables_that_were_empty(void **state)
{
	struct place *place = *state;
	load(place, DOMAIN HOST ANNA);
	for (int i = 0; i < 2; i++) {
		assert_next_access(place, "", "");
		assert_next_access(place, "to:", "");
	}
	load(place, DOMAIN HOST ANNA "\n" ACCESS("b", "To:b.example"));
	for (int i = 0; i < 2; i++) {
		assert_next_access(place, "to:", "to:b.example");
		assert_next_access(place, "to:c", "");
	}
	load(place, DOMAIN HOST ANNA "\n" ACCESS("a", "To:a.example") ACCESS("b", "To:b.example"));
	assert_next_access(place, "to:", "to:a.example");
	load(place, DOMAIN HOST ANNA);
	assert_next_access(place, "to:", "");
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
		cmocka_unit_test_setup_teardown(test_kept_snapshot, setup, teardown),
		cmocka_unit_test_setup_teardown(test_domain_changes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tables_that_were_empty, setup, teardown),
		cmocka_unit_test_setup_teardown(test_modes_and_readers_without_a_writer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_file_is_replaced, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reader_before_the_first_load, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_a_look_at_all_of_it_finds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed_load, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reader_beside_writer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_credentials, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
