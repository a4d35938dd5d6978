// SPDX-License-Identifier: Apache-2.0
// Entries from a server into both images: whole or not at all, idempotent by entryUUID (I1, I9), the cookie with its data (I2), and the brake
// over changes that come one by one (I6).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "apply.h"
#include "base/clock.h"
#include "ldapsync/directory.h"

#define A1 "20261122010203.000001Z#000000#001#000000"
#define A2 "20261122010203.000002Z#000000#001#000000"

enum { PEOPLE = 100 };

struct place {
	char dir[64], shadow_path[128], credentials_path[128];
	struct images images;
	struct apply *apply;
	struct sync_cookie cookie;
};

static int set_up(void **state)
{
	struct place *place = calloc(1, sizeof *place);
	struct err err;
	snprintf(place->dir, sizeof place->dir, "/tmp/apply_test.XXXXXX");
	assert_non_null(mkdtemp(place->dir));
	snprintf(place->shadow_path, sizeof place->shadow_path, "%s/shadow.db", place->dir);
	snprintf(place->credentials_path, sizeof place->credentials_path, "%s/credentials.db", place->dir);
	const struct images_config config = {.shadow_path = place->shadow_path, .credentials_path = place->credentials_path};
	assert_int_equal(images_open(&place->images, &config, &err), ERR_OK);
	place->apply = apply_new(&place->images, "test");
	place->cookie = (struct sync_cookie){.usable = true};
	assert_true(csns_parse(STR(A1), &place->cookie.csns));
	*state = place;
	return 0;
}

static int tear_down(void **state)
{
	struct place *place = *state;
	char path[160];
	apply_free(&place->apply);
	images_close(&place->images);
	static const char *const names[] = {"shadow.db", "shadow.db-wal", "shadow.db-shm", "credentials.db", "credentials.db-wal", "credentials.db-shm"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(path, sizeof path, "%s/%s", place->dir, names[i]);
		unlink(path);
	}
	rmdir(place->dir);
	free(place);
	return 0;
}

static struct guid uuid_of(unsigned n)
{
	struct guid uuid = {.b = {0x10, (uint8_t)(n >> 8), (uint8_t)n}};
	return uuid;
}

static void put(struct place *place, unsigned n, const char *mail, const char *password)
{
	struct guid uuid = uuid_of(n);
	char dn[64], uid[32];
	snprintf(dn, sizeof dn, "uid=u%u,dc=uni", n);
	snprintf(uid, sizeof uid, "u%u", n);
	struct raw_value values[] = {
		{STR("objectClass"), STR("phMailUser"), 0}, {STR("uid"), str_of_c(uid), 0}, {STR("mail"), str_of_c(mail), 0},
		{STR("mailHost"), STR("mb1.uni.example"), 0}, {STR("userPassword"), password ? str_of_c(password) : STR_NONE, 0},
	};
	struct raw_entry entry = {.dn = str_of_c(dn), .uuid = &uuid, .values = values, .n_values = password ? 5 : 4};
	struct err err;
	assert_int_equal(apply_put(place->apply, &entry, &err), ERR_OK);
}

static void put_person(struct place *place, unsigned n)
{
	char mail[64];
	snprintf(mail, sizeof mail, "u%u@uni.example", n);
	put(place, n, mail, "{SSHA}x");
}

static void drop(struct place *place, unsigned n)
{
	struct guid uuid = uuid_of(n);
	struct err err;
	assert_int_equal(apply_drop(place->apply, &uuid, &err), ERR_OK);
}

static enum apply_result commit(struct place *place, bool refresh, bool purge, const struct image_counters *released)
{
	struct apply_commit how = {.refresh = refresh, .purge = purge, .cookie = &place->cookie, .confirmed_ms = 5, .limits = {20, 10},
		.brake_window_ms = 600000, .released = released};
	struct err err;
	return apply_commit(place->apply, &how, &err);
}

static void load(struct place *place)
{
	for (unsigned n = 0; n < PEOPLE; n++)
		put_person(place, n);
	assert_int_equal(commit(place, true, true, NULL), APPLY_DONE);
}

static uint64_t entries(struct place *place)
{
	struct image_state state;
	struct err err;
	assert_int_equal(image_state(place->images.shadow, &state, &err), ERR_OK);
	return state.entries;
}

static enum directory_answer find(struct place *place, const char *address)
{
	struct directory *directory = directory_open(place->shadow_path, 30);
	struct arena *arena = arena_new(1 << 20);
	struct directory_match match;
	enum directory_answer answer = directory_find(directory, DIRECTORY_ADDRESS, str_of_c(address), arena, &match);
	arena_free(&arena);
	directory_close(&directory);
	return answer;
}

static void a_refresh_is_whole_or_nothing(void **state)
{
	struct place *place = *state;
	put_person(place, 1);
	assert_true(apply_has_begun(place->apply));
	apply_abort(place->apply);
	assert_int_equal(find(place, "u1@uni.example"), DIRECTORY_UNAVAILABLE);
	load(place);
	assert_int_equal(entries(place), PEOPLE);
	assert_int_equal(apply_counters(place->apply)->added, PEOPLE);
	load(place); // the same once more
	assert_int_equal(apply_counters(place->apply)->added + apply_counters(place->apply)->changed, 0);
	for (unsigned n = 1; n < PEOPLE; n++) { // a present phase, in which one is not mentioned
		struct guid uuid = uuid_of(n);
		struct err err;
		assert_int_equal(apply_keep(place->apply, &uuid, &err), ERR_OK);
	}
	struct guid unknown = uuid_of(5000);
	struct err err;
	assert_int_equal(apply_keep(place->apply, &unknown, &err), ERR_OK);
	assert_int_equal(commit(place, true, true, NULL), APPLY_DONE);
	assert_int_equal(find(place, "u0@uni.example"), DIRECTORY_NONE);
	assert_int_equal(entries(place), PEOPLE - 1);
}

static void the_last_word_on_an_entry_counts(void **state)
{
	struct place *place = *state;
	load(place);
	put(place, 1, "first@uni.example", "{SSHA}x");
	put(place, 1, "second@uni.example", NULL);
	put_person(place, 200);
	drop(place, 200);
	assert_int_equal(commit(place, false, false, NULL), APPLY_DONE);
	assert_int_equal(find(place, "first@uni.example"), DIRECTORY_NONE);
	assert_int_equal(find(place, "second@uni.example"), DIRECTORY_FOUND);
	assert_int_equal(find(place, "u1@uni.example"), DIRECTORY_NONE);
	assert_int_equal(entries(place), PEOPLE);
	put(place, 1, "not an address", NULL); // a value that is refused leaves the entry
	put(place, 2, "u3@uni.example", NULL); // and a second owner is kept
	assert_int_equal(commit(place, false, false, NULL), APPLY_DONE);
	assert_int_equal(find(place, "u3@uni.example"), DIRECTORY_AMBIGUOUS);
	assert_int_equal(apply_complaints(place->apply)->conflicts, 1);
	assert_int_equal(entries(place), PEOPLE);
}

static void conflicts_are_counted_as_they_are_now(void **state)
{
	struct place *place = *state;
	load(place);
	put(place, 1, "u3@uni.example", NULL);
	put(place, 2, "u3@uni.example", NULL);
	put(place, 4, "u5@uni.example", NULL);
	assert_int_equal(commit(place, false, false, NULL), APPLY_DONE);
	assert_int_equal(apply_complaints(place->apply)->conflicts, 2); // of keys, however many have one
	put_person(place, 7);
	assert_int_equal(commit(place, false, false, NULL), APPLY_DONE);
	assert_int_equal(apply_complaints(place->apply)->conflicts, 2);
	drop(place, 5);
	put_person(place, 1);
	assert_int_equal(commit(place, false, false, NULL), APPLY_DONE);
	assert_int_equal(apply_complaints(place->apply)->conflicts, 1);
	put_person(place, 2);
	assert_int_equal(commit(place, false, false, NULL), APPLY_DONE);
	assert_int_equal(apply_complaints(place->apply)->conflicts, 0);
}

static void changes_one_by_one_meet_the_brake(void **state)
{
	struct place *place = *state;
	struct image_counters held;
	load(place);
	unsigned gone = 0;
	while (gone < PEOPLE) {
		drop(place, gone);
		if (commit(place, false, false, NULL) != APPLY_DONE)
			break;
		gone++;
	}
	assert_int_equal(gone, 20); // a fifth, and no more
	assert_int_equal(entries(place), 80);
	assert_int_equal(find(place, "u20@uni.example"), DIRECTORY_FOUND); // rolled back
	assert_string_equal(apply_held(place->apply)->what, "recipients");
	assert_int_equal(apply_held(place->apply)->n, 21);
	assert_int_equal(apply_held(place->apply)->before.recipients.gone, 20); // went, and is in the sum
	assert_int_equal(apply_held(place->apply)->counters.recipients.gone, 21);
	assert_in_range(apply_held(place->apply)->window_left_ms, 1, apply_held(place->apply)->window_ms);
	held = apply_held(place->apply)->counters;
	for (unsigned n = 20; n < 60; n++)
		drop(place, n);
	assert_int_equal(commit(place, true, false, &held), APPLY_HELD); // 40 more is not what was released
	assert_int_equal(apply_held(place->apply)->n, 60);
	held = apply_held(place->apply)->counters;
	for (unsigned n = 20; n < 60; n++)
		drop(place, n);
	assert_int_equal(commit(place, true, false, &held), APPLY_DONE);
	assert_int_equal(entries(place), 40);
	drop(place, 60); // the count begins anew
	assert_int_equal(commit(place, false, false, NULL), APPLY_DONE);
}

static void nothing_at_all_is_never_loaded(void **state)
{
	struct place *place = *state;
	assert_int_equal(commit(place, true, true, NULL), APPLY_HELD);
	assert_string_equal(apply_held(place->apply)->what, "entries");
	assert_int_equal(find(place, "u1@uni.example"), DIRECTORY_UNAVAILABLE);
}

static void the_older_cookie_counts(void **state)
{
	struct place *place = *state;
	struct sync_cookie *stored = malloc(sizeof *stored);
	struct err err;
	load(place);
	assert_int_equal(apply_read_cookie(place->apply, stored, &err), ERR_OK);
	assert_true(stored->usable);
	// The credentials are a commit ahead: killed between the two.
	struct buf ahead;
	buf_init(&ahead, IMAGE_COOKIE_BYTES_MAX);
	struct sync_cookie later = place->cookie;
	assert_true(csns_parse(STR(A2), &later.csns) && sync_cookie_write(&later, &ahead));
	struct image_counters ignored;
	struct image_state written = {.complete = true, .source_ok = true, .source = STR("ldap"), .cookie = buf_str(&ahead)};
	assert_int_equal(image_begin(place->images.credentials, IMAGE_CHANGE, &err), ERR_OK);
	assert_int_equal(image_settle(place->images.credentials, false, &ignored, &err), ERR_OK);
	assert_int_equal(image_commit(place->images.credentials, &written, &err), ERR_OK);
	assert_int_equal(apply_read_cookie(place->apply, stored, &err), ERR_OK);
	assert_true(stored->usable && csns_eq(&stored->csns, &place->cookie.csns));
	// The shadow ahead: the credentials are of another time, everything is loaded.
	assert_int_equal(image_begin(place->images.shadow, IMAGE_CHANGE, &err), ERR_OK);
	assert_int_equal(image_settle(place->images.shadow, false, &ignored, &err), ERR_OK);
	later.csns.v[0] = '3';
	buf_clear(&ahead);
	assert_true(sync_cookie_write(&later, &ahead));
	written.cookie = buf_str(&ahead);
	assert_int_equal(image_commit(place->images.shadow, &written, &err), ERR_OK);
	assert_int_equal(apply_read_cookie(place->apply, stored, &err), ERR_OK);
	assert_false(stored->usable);
	assert_int_equal(stored->csns.n, 1);
	buf_fini(&ahead);
	free(stored);
}

// One that never rests takes nobody away, however long the window is; and wears nothing out for those who do.
static void one_that_changes_all_the_time(void **state)
{
	struct place *place = *state;
	char mail[64];
	load(place);
	for (unsigned turn = 0; turn < 300; turn++) {
		snprintf(mail, sizeof mail, "u1.%u@uni.example", turn % 7 ? turn : 0);
		put(place, 1, mail, turn % 2 ? "{SSHA}x" : NULL);
		assert_int_equal(commit(place, false, false, NULL), APPLY_DONE);
		put_person(place, 5000 + turn); // deleted and added in a loop, with a new uuid
		assert_int_equal(commit(place, false, false, NULL), APPLY_DONE);
		drop(place, 5000 + turn);
		assert_int_equal(commit(place, false, false, NULL), APPLY_DONE);
		if (turn == 150)
			put_person(place, 1);
	}
	unsigned gone = 2;
	for (; gone < PEOPLE; gone++) {
		drop(place, gone);
		if (commit(place, gone % 5 == 0, false, NULL) != APPLY_DONE) // a refresh from the cookie in between
			break;
	}
	assert_int_equal(gone, 2 + 19); // u1@uni.example is gone too
}

static unsigned dropped_until_held(struct place *place, unsigned from)
{
	unsigned n = 0;
	for (; n < PEOPLE; n++) {
		drop(place, from + n);
		if (commit(place, false, false, NULL) != APPLY_DONE)
			break;
	}
	return n;
}

static void what_was_added_makes_up_for_nothing(void **state)
{
	struct place *place = *state;
	load(place);
	for (unsigned n = 0; n < 5 * PEOPLE; n++) {
		put_person(place, 1000 + n);
		assert_int_equal(commit(place, false, false, NULL), APPLY_DONE);
	}
	for (unsigned n = 0; n < 3 * PEOPLE; n++) {
		drop(place, 1000 + n);
		assert_int_equal(commit(place, false, false, NULL), APPLY_DONE);
	}
	assert_int_equal(dropped_until_held(place, 0), 20);
}

static void everybody_gets_another_address(void **state)
{
	struct place *place = *state;
	char mail[64];
	load(place);
	unsigned n = 0;
	for (; n < PEOPLE; n++) {
		snprintf(mail, sizeof mail, "x%u@uni.example", n);
		put(place, n, mail, "{SSHA}x");
		if (commit(place, false, false, NULL) != APPLY_DONE)
			break;
	}
	assert_int_equal(n, 20);
	assert_string_equal(apply_held(place->apply)->what, "recipients");
	assert_int_equal(apply_held(place->apply)->of, PEOPLE);
}

static void passwords_that_go_while_entries_come_back(void **state)
{
	struct place *place = *state;
	char mail[64];
	load(place);
	unsigned n = 0;
	for (; n < PEOPLE; n++) {
		drop(place, n);
		if (commit(place, false, false, NULL) != APPLY_DONE)
			break;
		snprintf(mail, sizeof mail, "u%u@uni.example", n);
		put(place, n, mail, NULL);
		if (commit(place, false, false, NULL) != APPLY_DONE)
			break;
	}
	assert_int_equal(n, 20);
	assert_string_equal(apply_held(place->apply)->what, "passwords of entries");
	put_person(place, 3); // one gets it back
	assert_int_equal(commit(place, false, false, NULL), APPLY_DONE);
	drop(place, 20);
	assert_int_equal(commit(place, false, false, NULL), APPLY_DONE);
}

// What waits to be written in the order of the table must not be missed by who looks for it.
static void an_entry_twice_in_the_first_load(void **state)
{
	struct place *place = *state;
	put(place, 1, "old@uni.example", "{SSHA}x");
	put(place, 2, "gone@uni.example", "{SSHA}x");
	put(place, 1, "new@uni.example", "{SSHA}x");
	drop(place, 2);
	put_person(place, 3);
	assert_int_equal(commit(place, true, true, NULL), APPLY_DONE);
	assert_int_equal(entries(place), 2);
	assert_int_equal(find(place, "new@uni.example"), DIRECTORY_FOUND);
	assert_int_equal(find(place, "u3@uni.example"), DIRECTORY_FOUND);
	assert_int_equal(find(place, "old@uni.example"), DIRECTORY_NONE);
	assert_int_equal(find(place, "gone@uni.example"), DIRECTORY_NONE);
}

static off_t turns(struct place *place, unsigned from, unsigned to)
{
	char wal[160];
	struct stat st;
	for (unsigned turn = from; turn < to; turn++) {
		for (unsigned n = 0; n < 3 * PEOPLE; n++)
			put_person(place, 1000 * turn + n);
		assert_int_equal(commit(place, false, false, NULL), APPLY_DONE);
		images_checkpoint(&place->images);
	}
	snprintf(wal, sizeof wal, "%s-wal", place->shadow_path);
	assert_int_equal(stat(wal, &st), 0);
	return st.st_size;
}

// A reader that was stopped: no turn of ours waits for it, and when it has gone the log is used anew.
static void a_reader_that_holds_its_snapshot(void **state)
{
	struct place *place = *state;
	enum { WAITED_ONCE_MS = 10000, TURNS = 40 };
	put_person(place, 1);
	assert_int_equal(commit(place, true, true, NULL), APPLY_DONE);
	struct directory *directory = directory_open(place->shadow_path, 30);
	directory_begin(directory);
	assert_true(directory_status(directory).complete);
	int64_t began_ms = clock_mono_exact_ms();
	off_t before = turns(place, 1, TURNS);
	assert_true(before > 2 << 20);
	assert_true(clock_mono_exact_ms() - began_ms < TURNS * WAITED_ONCE_MS / 4);
	directory_end(directory);
	directory_close(&directory);
	(void)turns(place, TURNS, TURNS + 1); // folds what was held
	assert_true(turns(place, TURNS + 1, TURNS + 5) <= before + (1 << 20));
}

static bool is_fresh(struct place *place, int64_t confirmed_ms)
{
	struct err err;
	assert_int_equal(apply_confirm(place->apply, true, confirmed_ms, &err), ERR_OK);
	struct directory *directory = directory_open(place->shadow_path, 30);
	bool fresh = directory_status(directory).fresh;
	directory_close(&directory);
	return fresh;
}

// I8, with a clock that was an hour ahead when it was confirmed, or is an hour behind now: nobody knows how old it is.
static void a_clock_that_was_set_back(void **state)
{
	struct place *place = *state;
	int64_t now_ms = clock_wall_ms();
	load(place);
	assert_true(is_fresh(place, now_ms));
	assert_false(is_fresh(place, now_ms - 3600000));
	assert_false(is_fresh(place, now_ms + 3600000));
	assert_true(is_fresh(place, now_ms + 1000)); // clocks are set by a second now and then
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_refresh_is_whole_or_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_clock_that_was_set_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_last_word_on_an_entry_counts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(conflicts_are_counted_as_they_are_now, set_up, tear_down),
		cmocka_unit_test_setup_teardown(changes_one_by_one_meet_the_brake, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nothing_at_all_is_never_loaded, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_older_cookie_counts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_that_changes_all_the_time, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_was_added_makes_up_for_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(everybody_gets_another_address, set_up, tear_down),
		cmocka_unit_test_setup_teardown(passwords_that_go_while_entries_come_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_entry_twice_in_the_first_load, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_reader_that_holds_its_snapshot, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
