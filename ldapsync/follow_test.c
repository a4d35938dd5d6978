// SPDX-License-Identifier: Apache-2.0
// Following a file: changes are taken over, bad files are not, a damaged shadow is made anew. Waits are for conditions, with a long limit.
#include "follow.h"
#include "test_place.h"

struct follower {
	struct place place;
	struct follow *follow;
};

static void start(struct follower *at)
{
	struct err err;
	struct follow_config config = {.images = {.shadow_path = at->place.shadow_path, .credentials_path = at->place.credentials_path},
		.set = {.ldif_path = str_of_c(at->place.ldif_path), .check_ms = 20, .brake = {.percent = 20, .at_least = 10}}};
	if (follow_start(&config, &at->follow, &err))
		fail_msg("%s", err.text);
}

static int follow_setup(void **state)
{
	struct follower *at = calloc(1, sizeof *at);
	place_init(&at->place);
	*state = at;
	return 0;
}

static int follow_teardown(void **state)
{
	struct follower *at = *state;
	follow_stop(&at->follow);
	place_fini(&at->place);
	free(at);
	return 0;
}

static void write_users(struct place *place, int n)
{
	struct buf ldif;
	buf_init(&ldif, 64 << 10);
	for (int i = 0; i < n; i++)
		buf_printf(&ldif, "dn: uid=u%d\nobjectClass: phMailUser\nmail: u%d@uni.example\nmailHost: mb1\nphMailboxId: %032x\n\n", i,
			i, i + 1);
	write_ldif(place, buf_c(&ldif));
	buf_fini(&ldif);
}

static void write_user(struct place *place, const char *user)
{
	char ldif[160];
	snprintf(ldif, sizeof ldif, "dn: uid=%s\nobjectClass: phMailUser\nmail: %s@uni.example\nmailHost: mb1\nphMailboxId: %032x\n",
		user, user, 7);
	write_ldif(place, ldif);
}

static enum directory_answer find_address(struct place *place, const char *address)
{
	struct directory_match match;
	arena_reset(place->arena);
	return find(place, DIRECTORY_ADDRESS, address, &match);
}

static void wait_for_address(struct follower *at, const char *address)
{
	for (int i = 0; i < 6000 && find_address(&at->place, address) != DIRECTORY_FOUND; i++)
		usleep(10000);
	assert_int_equal(find_address(&at->place, address), DIRECTORY_FOUND);
}

static void wait_for_state(struct follower *at, enum follow_state state)
{
	struct follow_status status;
	for (int i = 0; i < 6000; i++) {
		follow_status(at->follow, &status);
		if (status.state == state)
			return;
		usleep(10000);
	}
	fail_msg("state %s, not %s: %s", follow_state_name(status.state), follow_state_name(state), status.trouble);
}

static void test_changes_are_taken_over(void **state)
{
	struct follower *at = *state;
	struct follow_status status;
	start(at); // the file comes later
	wait_for_state(at, FOLLOW_EMPTY);
	write_user(&at->place, "anna");
	wait_for_address(at, "anna@uni.example");
	write_user(&at->place, "bob");
	wait_for_address(at, "bob@uni.example");
	assert_int_equal(find_address(&at->place, "anna@uni.example"), DIRECTORY_NONE);
	write_ldif(&at->place, "no ldif\n");
	wait_for_state(at, FOLLOW_STALE);
	follow_status(at->follow, &status);
	assert_true(strstr(status.trouble, "people.ldif:1:") != NULL);
	assert_int_equal(find_address(&at->place, "bob@uni.example"), DIRECTORY_FOUND);
	assert_false(directory_status(at->place.directory).fresh);
	write_user(&at->place, "bob");
	wait_for_state(at, FOLLOW_PERSIST);
	assert_true(directory_status(at->place.directory).fresh);
	unlink(at->place.ldif_path);
	wait_for_state(at, FOLLOW_STALE);
	assert_int_equal(find_address(&at->place, "bob@uni.example"), DIRECTORY_FOUND);
}

static void test_another_file_is_set(void **state)
{
	struct follower *at = *state;
	char other[80];
	write_user(&at->place, "anna");
	snprintf(other, sizeof other, "%s/other.ldif", at->place.dir);
	assert_int_equal(rename(at->place.ldif_path, other), 0);
	write_user(&at->place, "bob");
	start(at);
	wait_for_address(at, "bob@uni.example");
	follow_set(at->follow, &(struct follow_set){.ldif_path = str_of_c(other), .check_ms = 20, .brake = {.percent = 100}});
	wait_for_address(at, "anna@uni.example");
}

static void test_damaged_shadow_is_made_anew(void **state)
{
	struct follower *at = *state;
	write_user(&at->place, "anna");
	start(at);
	wait_for_address(at, "anna@uni.example");
	follow_stop(&at->follow);
	FILE *file = fopen(at->place.shadow_path, "r+");
	assert_non_null(file);
	assert_true(fputs("this is no database any more, and has not been one for long", file) >= 0);
	fclose(file);
	start(at);
	wait_for_address(at, "anna@uni.example"); // by the old one, as far as it can be read
	wait_for_state(at, FOLLOW_PERSIST);
	wait_for_address(at, "anna@uni.example");
	char aside[96];
	snprintf(aside, sizeof aside, "%s.damaged", at->place.shadow_path);
	assert_int_equal(access(aside, F_OK), 0);
}

// A file without half of the people: the old view stays until somebody accepts that very file, or a better one comes.
static void test_the_brake(void **state)
{
	struct follower *at = *state;
	struct follow_status status;
	struct err err;
	write_users(&at->place, 100);
	start(at);
	wait_for_address(at, "u99@uni.example");
	assert_int_equal(follow_release(at->follow, &err), ERR_NOTFOUND);
	write_users(&at->place, 50);
	wait_for_state(at, FOLLOW_BRAKED);
	follow_status(at->follow, &status);
	assert_string_equal(status.held.what, "recipients");
	assert_int_equal(status.held.n, 50);
	assert_int_equal(status.held.of, 100);
	assert_int_equal(find_address(&at->place, "u99@uni.example"), DIRECTORY_FOUND);
	assert_true(directory_status(at->place.directory).complete && !directory_status(at->place.directory).fresh);
	follow_stop(&at->follow); // a restart does not forget
	start(at);
	wait_for_state(at, FOLLOW_BRAKED);
	assert_int_equal(find_address(&at->place, "u99@uni.example"), DIRECTORY_FOUND);
	write_users(&at->place, 90); // ten of a hundred are no accident
	wait_for_state(at, FOLLOW_PERSIST);
	assert_int_equal(find_address(&at->place, "u99@uni.example"), DIRECTORY_NONE);
	assert_true(directory_status(at->place.directory).fresh);
	write_users(&at->place, 1);
	wait_for_state(at, FOLLOW_BRAKED);
	assert_int_equal(follow_release(at->follow, &err), ERR_OK);
	wait_for_state(at, FOLLOW_PERSIST);
	assert_int_equal(find_address(&at->place, "u0@uni.example"), DIRECTORY_FOUND);
	assert_int_equal(find_address(&at->place, "u1@uni.example"), DIRECTORY_NONE);
	follow_status(at->follow, &status);
	assert_int_equal(status.held.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_changes_are_taken_over, follow_setup, follow_teardown),
		cmocka_unit_test_setup_teardown(test_another_file_is_set, follow_setup, follow_teardown),
		cmocka_unit_test_setup_teardown(test_the_brake, follow_setup, follow_teardown),
		cmocka_unit_test_setup_teardown(test_damaged_shadow_is_made_anew, follow_setup, follow_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
