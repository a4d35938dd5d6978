// SPDX-License-Identifier: Apache-2.0
// posthouse directory status: the shadow on this disk, and what ldapsync says of its source when it runs.
// posthouse directory profile: how attributes of the directory are read.
// posthouse directory release: lets through what the brake holds.
// posthouse directory reconcile: has the whole directory read and compared once more.
// posthouse directory password: values for userPassword and phScram, made from a password that is read here and goes nowhere
// else.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "ctl.h"
#include "import.h"
#include "ldapsync/directory.h"
#include "mail/password.h"
#include "schema/profile.h"

// --- status ---

enum { MISSING_BYTES_MAX = 64 << 10, DN_LINE_BYTES_MAX = 17 << 10 };

// What can be said without ldapsync.
static const char *state_without_daemon(const struct directory_status *status)
{
	return !status->complete ? "EMPTY" : status->fresh ? "PERSIST" : "STALE";
}

static void print_missing(const json_t *missing)
{
	size_t i;
	const json_t *one;
	json_array_foreach(missing, i, one) {
		struct buf b;
		buf_init(&b, MISSING_BYTES_MAX);
		buf_add_c(&b, "nobody has the class of service ");
		log_escape(&b, str_of_c(json_string_value(json_object_get(one, "class"))));
		buf_printf(&b, ", which %lld entries name, the first being ",
			(long long)json_integer_value(json_object_get(one, "entries")));
		log_escape(&b, str_of_c(json_string_value(json_object_get(one, "entry"))));
		printf("%.*s\n", STR_FMT(buf_str(&b)));
		buf_fini(&b);
	}
}

static void print_conflicts(json_int_t n)
{
	if (n > 0)
		printf("%lld %s several owners, and what is sent to %s is deferred: the log of ldapsync names them (\"several "
		       "entries claim one key\"), `posthouse why ADDRESS` says more\n",
			(long long)n, n == 1 ? "address or other key has" : "addresses or other keys have",
			n == 1 ? "it" : "them");
}

static json_int_t number(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

// "already" of those that go are gone from the shadow; the rest waits.
static void print_count(const json_t *count)
{
	json_int_t gone = number(count, "gone"), already = number(count, "already");
	printf("  %s: %lld of %lld", json_string_value(json_object_get(count, "what")), (long long)gone, (long long)number(count, "of"));
	if (already > 0)
		printf(", of which %lld are gone already and %lld wait", (long long)already, (long long)(gone > already ? gone - already : 0));
	printf("; at most %lld may go at once%s\n", (long long)number(count, "allowed"), gone > number(count, "allowed") ? ": too many" : "");
}

// What the brake holds (ldapsync/held.h).
static void print_held(const json_t *held)
{
	size_t i;
	const json_t *count;
	if (held == NULL)
		return;
	const long long window_s = number(held, "window_s"), window_left_s = number(held, "window_left_s");
	printf("held since %s, %lld s ago, by shadow_brake_percent = %lld and shadow_brake_min = %lld. Of what was there",
		json_string_value(json_object_get(held, "since")), (long long)number(held, "held_s"),
		(long long)number(held, "percent"), (long long)number(held, "min"));
	if (window_s)
		printf(" when the first of these changes came (shadow_brake_window_s = %lld)", window_s);
	printf(" would be gone:\n");
	json_array_foreach(json_object_get(held, "counts"), i, count)
		print_count(count);
	printf("Until it is let through, what waits is served as before, nothing that came after it is seen, and an address that is not "
	       "known is refused for now (451). `posthouse directory release` lets go what waits, as far as it is counted here%s.",
		window_s ? ", and begins to count anew" : "; so does another file that is right");
	if (window_s)
		printf(" The server is looked at again each minute");
	if (window_left_s)
		printf("; what it lacks in %lld s will be judged by itself", window_left_s);
	printf("%s\n", window_s ? "." : "");
}

// held with its time as text.
static json_t *held_with_time(const json_t *answer)
{
	json_t *held = json_object_get(answer, "held");
	const time_t seconds = (time_t)(number(held, "since_ms") / 1000);
	struct tm tm;
	char text[32];
	if (held && gmtime_r(&seconds, &tm) && strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm))
		json_object_set_new(held, "since", json_string(text));
	return held;
}

// answer NULL: err says why.
static void print_status(struct ctl *ctl, const struct directory_status *status, const json_t *answer, const struct err *err)
{
	const char *trouble = answer ? json_string_value(json_object_get(answer, "trouble")) : err->text;
	const char *state = json_string_value(json_object_get(answer, "state"));
	const char *provider = json_string_value(json_object_get(answer, "provider"));
	const char *driver = json_string_value(json_object_get(answer, "driver")); // of an LDIF file none
	bool polls = driver && strcmp(driver, "poll") == 0;
	state = state ? state : state_without_daemon(status);
	const char *future = json_string_value(json_object_get(answer, "future_csn"));
	json_int_t held_deletes = number(answer, "held_deletes");
	json_t *held = held_with_time(answer);
	if (ctl->json) {
		ctl_print_json(json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:b, s:b, s:I, s:b, s:I, s:s, s:s, s:O*, s:O*, s:O*}", "state",
			state, "provider", provider ? provider : "", "driver", driver ? driver : "", "lag_ms",
			number(answer, "lag_ms"), "entries", (json_int_t)status->entries, "held_deletes", held_deletes, "version",
			(json_int_t)status->version, "complete", status->complete, "fresh", status->fresh, "age_s",
			(json_int_t)status->age_s, "ldapsync_runs", answer != NULL, "spared",
			number(answer, "spared"), "future_csn", future ? future : "", "trouble",
			trouble ? trouble : "", "missing_classes", json_object_get(answer, "missing_classes"), "conflicts",
			json_object_get(answer, "conflicts"), "held", held));
		return;
	}
	printf("%s: version %llu, %llu entries, %s", state, (unsigned long long)status->version,
		(unsigned long long)status->entries,
		!status->complete ? "never loaded completely"
		: status->fresh   ? "up to date"
				  : "not known to be up to date");
	if (status->age_s >= 0)
		printf(", confirmed %lld s ago", (long long)status->age_s);
	if (provider && *provider)
		printf(", from %s%s", provider, polls ? ", which is polled" : "");
	if (!polls && json_integer_value(json_object_get(answer, "lag_ms")) > 0)
		printf(", %lld ms behind", (long long)json_integer_value(json_object_get(answer, "lag_ms")));
	printf("\n");
	if (trouble && *trouble)
		printf("%s%s\n", trouble, answer ? "" : "; the shadow serves");
	print_held(held);
	if (number(answer, "spared"))
		printf("%lld entries stay that this server does not have: it does not show whether it lags behind the one before it "
		       "(ldap_lag_s)\n", (long long)number(answer, "spared"));
	if (future && *future)
		printf("the directory has a change number from the future, %s: is the clock of one of its servers wrong, or "
		       "ours?\n",
			future);
	print_conflicts(json_integer_value(json_object_get(answer, "conflicts")));
	print_missing(json_object_get(answer, "missing_classes"));
}

int cmd_directory_status(struct ctl *ctl)
{
	const struct settings *settings = ctl_settings(ctl);
	// Asked first: ldapsync commits before it says so, and a shadow read afterwards shows no less than the answer.
	json_t *answer = NULL;
	struct err err;
	if (ctl_ask(ctl, DAEMONS_LDAPSYNC, "directory.status", NULL, NULL, NULL, &answer, &err))
		answer = NULL; // the shadow answers for itself
	struct directory *directory =
		directory_open(settings_data_path(settings, ctl->arena, "shadow/shadow.db").p, settings->fresh_s);
	struct directory_status status = directory_status(directory);
	print_status(ctl, &status, answer, &err);
	json_decref(answer);
	directory_close(&directory);
	return status.complete && status.fresh ? CTL_YES : CTL_TEMPORARY;
}

// --- profile ---

static int print_profile(struct ctl *ctl, const char *name, const struct settings_list *own, const char *const *lines)
{
	json_t *list = json_array();
	if (!ctl->json)
		printf("# %s\n", name);
	for (size_t i = 0; own && i < own->n; i++)
		json_array_append_new(list, json_stringn(own->v[i].p, own->v[i].n));
	for (size_t i = 0; lines[i]; i++)
		json_array_append_new(list, json_string(lines[i]));
	if (ctl->json) {
		ctl_print_json(json_pack("{s:s, s:o}", "profile", name, "lines", list));
		return CTL_YES;
	}
	if (json_array_size(list) == 0)
		printf("# no lines: attributes have our own names\n");
	for (size_t i = 0; i < json_array_size(list); i++)
		printf("%s\n", json_string_value(json_array_get(list, i)));
	json_decref(list);
	return CTL_YES;
}

int cmd_directory_profile(struct ctl *ctl)
{
	for (int family = 0; ctl->n_args && profile_name(family); family++)
		if (str_eq(str_of_c(profile_name(family)), str_of_c(ctl->args[0])))
			return print_profile(ctl, ctl->args[0], NULL, profile_lines(family));
	if (ctl->n_args) {
		fprintf(stderr, "posthouse: %s is no profile; posthouse.conf(5) names them at ldap_profile\n", ctl->args[0]);
		return CTL_USAGE;
	}
	const struct settings *settings = ctl_settings(ctl);
	if (settings == NULL)
		return ctl_without_settings(ctl);
	return print_profile(ctl, profile_name(settings->ldap_profile), &settings->ldap_map,
		profile_lines(settings->ldap_profile));
}

// --- release ---

// Asks ldapsync for something that ends with another shadow, and prints what became of it.
static int ask_for_refresh(struct ctl *ctl, const char *command, const char *done)
{
	json_t *answer = NULL;
	struct err err;
	if (ctl_ask(ctl, DAEMONS_LDAPSYNC, command, NULL, NULL, NULL, &answer, &err))
		return ctl_fail(&err);
	if (ctl->json)
		ctl_print_json(json_incref(answer));
	else
		printf("%s: %lld entries are gone, version %lld has %lld\n", done,
			(long long)json_integer_value(json_object_get(answer, "deleted")),
			(long long)json_integer_value(json_object_get(answer, "version")),
			(long long)json_integer_value(json_object_get(answer, "entries")));
	json_decref(answer);
	return CTL_YES;
}

int cmd_directory_release(struct ctl *ctl)
{
	return ask_for_refresh(ctl, "directory.release", "released");
}

int cmd_directory_reconcile(struct ctl *ctl)
{
	return ask_for_refresh(ctl, "directory.reconcile", "compared");
}

// --- password ---

// A line from standard input, without echo on a terminal. False at its end.
static bool read_password(const char *prompt, char line[PASSWORD_BYTES_MAX + 2])
{
	struct termios old, quiet;
	bool terminal = tcgetattr(STDIN_FILENO, &old) == 0;
	if (terminal) {
		fprintf(stderr, "%s", prompt);
		quiet = old;
		quiet.c_lflag &= ~(tcflag_t)ECHO;
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	}
	bool got = fgets(line, PASSWORD_BYTES_MAX + 2, stdin) != NULL;
	if (terminal) {
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
		fputc('\n', stderr);
	}
	if (got)
		line[strcspn(line, "\r\n")] = '\0';
	return got;
}

static enum err_code make_values(enum password_scheme scheme, struct str password, struct buf *hash, struct buf *scram,
	struct err *err)
{
	enum err_code code = password_make(scheme, password, hash, err);
	return code ? code : password_scram_make(password, PASSWORD_SCRAM_ITERATIONS, scram, err);
}

// A shell would take the "$" of the values for its own: what is to be loaded is printed whole.
static void print_lines(const char *dn, const char *login, const char *hash, const char *scram)
{
	if (dn == NULL) {
		printf("# for the entry of %s\nuserPassword: %s\nphScram: %s\n", login, hash, scram);
		return;
	}
	struct buf name;
	buf_init(&name, DN_LINE_BYTES_MAX);
	import_put(&name, "dn", str_of_c(dn));
	printf("# %s\n%schangetype: modify\nreplace: userPassword\nuserPassword: %s\n-\nreplace: phScram\nphScram: %s\n-\n", login,
		buf_c(&name), hash, scram);
	buf_fini(&name);
}

static int print_values(struct ctl *ctl, const char *login, enum password_scheme scheme, struct str password)
{
	struct buf hash, scram;
	struct err err;
	buf_init(&hash, PASSWORD_STORED_BYTES_MAX);
	buf_init(&scram, PASSWORD_STORED_BYTES_MAX);
	enum err_code code = make_values(scheme, password, &hash, &scram, &err);
	if (code == ERR_OK && ctl->json)
		ctl_print_json(json_pack("{s:s, s:s, s:s}", "login", login, "userPassword", buf_c(&hash), "phScram",
			buf_c(&scram)));
	else if (code == ERR_OK)
		print_lines(ctl_option(ctl, "--dn"), login, buf_c(&hash), buf_c(&scram));
	buf_fini(&hash);
	buf_fini(&scram);
	return code ? ctl_fail(&err) : CTL_YES;
}

int cmd_directory_password(struct ctl *ctl)
{
	enum password_scheme scheme = PASSWORD_DEFAULT;
	char password[PASSWORD_BYTES_MAX + 2], again[PASSWORD_BYTES_MAX + 2];
	const char *wanted = ctl_option(ctl, "--scheme"), *dn = ctl_option(ctl, "--dn");
	if (dn && !directory_is_dn(str_of_c(dn)))
		return ctl_wrong(ctl, "--dn", "is no name of an entry, such as uid=bob,ou=people,dc=uni,dc=example");
	if (wanted && !password_scheme_parse(str_of_c(wanted), &scheme))
		return ctl_wrong(ctl, "--scheme", "is none that is made here; `posthouse help directory password` lists them");
	bool terminal = isatty(STDIN_FILENO);
	if (!read_password("Password: ", password))
		return ctl_fail(&(struct err){ERR_INVALID, "no password was given"});
	if (terminal && (!read_password("Again: ", again) || strcmp(password, again) != 0))
		return ctl_fail(&(struct err){ERR_INVALID, "the two passwords differ"});
	int code = print_values(ctl, ctl->args[0], scheme, str_of_c(password));
	explicit_bzero(password, sizeof password);
	explicit_bzero(again, sizeof again);
	return code;
}
