// SPDX-License-Identifier: Apache-2.0
// libsasl2's side: set-up, options, and the callbacks through which it asks for names, passwords and secrets.
//
// libsasl2 is given no configuration file (the option callback answers first), no realm, no plug-in of its own for secrets: an
// auxiliary property plug-in of ours, "posthouse", is the only one asked, and it answers `*authPassword` only. Of those on the
// disk it loads the mechanisms that we offer: others bring libraries (Kerberos, databases) into daemons that have no use for
// them.
#include "sasl_library.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <sasl/prop.h>
#include <sasl/saslplug.h>
#include <stdlib.h>
#include <time.h>

#include "base/must.h"
#include "mail/password.h"

#define MECHANISMS "SCRAM-SHA-256 PLAIN LOGIN"

static struct {
	bool ready;
	struct sasl_config config; // secret is owned
} library;

const struct sasl_config *sasl_library_config(void)
{
	must(library.ready);
	return &library.config;
}

static uint64_t monotonic_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t sasl_library_now_ms(void)
{
	return library.config.now_ms();
}

struct str sasl_mechanisms(unsigned flags)
{
	return flags & SASL_PLAINTEXT_OK ? STR(MECHANISMS) : STR("");
}

// ---- callbacks ----

static int get_option(void *context, const char *plugin, const char *option, const char **result, unsigned *len)
{
	static const struct {
		const char *option, *value;
	} options[] = {
		{"mech_list", MECHANISMS},
		{"auxprop_plugin", "posthouse"},
		{"pwcheck_method", "none"}, // after our own check no other is asked
		{"log_level", "0"},
	};
	(void)context;
	(void)plugin;
	for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
		if (strcmp(option, options[i].option) != 0)
			continue;
		*result = options[i].value;
		if (len)
			*len = (unsigned)strlen(options[i].value);
		return SASL_OK;
	}
	return SASL_FAIL;
}

static int is_wanted(void *context, const char *file, sasl_verify_type_t type)
{
	static const char *const plugins[] = {"libscram.", "libplain.", "liblogin."};
	(void)context;
	const char *slash = strrchr(file, '/'), *name = slash ? slash + 1 : file;
	if (type != SASL_VRFY_PLUGIN)
		return SASL_OK;
	for (size_t i = 0; i < sizeof plugins / sizeof *plugins; i++)
		if (str_starts(str_of_c(name), str_of_c(plugins[i])))
			return SASL_OK;
	return SASL_CONTINUE;
}

// libsasl2 would write to syslog, with names that a peer chose. The callers log outcomes themselves.
static int drop_log(void *context, int level, const char *message)
{
	(void)context;
	(void)level;
	(void)message;
	return SASL_OK;
}

// Called for the login and for the authorization identity, alone or both at once. It never fails and shows libsasl2 "-" for every
// name: the LOGIN plug-in of libsasl2 2.1.28 leaks the password when a name is refused, here or by libsasl2's own trimming of
// white space. The session knows the names, and an attempt with one that cannot be fails at its end.
static int canonical_user(sasl_conn_t *conn, void *context, const char *in, unsigned in_n, unsigned flags, const char *realm,
	char *out, unsigned out_max, unsigned *out_n)
{
	struct sasl_session *session = context;
	struct str name = str_of(in, in_n);
	(void)conn;
	(void)realm;
	if (flags & SASL_CU_AUTHID)
		sasl_session_take_login(session, name);
	else if (!str_eq(name, str_of(session->login, session->login_n)))
		session->other_identity = true;
	must(out_max > 1);
	out[0] = '-';
	*out_n = 1;
	return SASL_OK;
}

static int check_password(sasl_conn_t *conn, void *context, const char *user, const char *password, unsigned n,
	struct propctx *properties)
{
	struct sasl_session *session = context;
	(void)conn;
	(void)user; // the login as canonical_user saw it counts
	(void)properties;
	return sasl_session_check(session, str_of(password, n)) ? SASL_OK : SASL_BADAUTH;
}

// canonical_user has compared the names; libsasl2's own answer without this callback would depend on what it was shown.
static int may_act_as(sasl_conn_t *conn, void *context, const char *wanted, unsigned wanted_n, const char *login,
	unsigned login_n, const char *realm, unsigned realm_n, struct propctx *properties)
{
	const struct sasl_session *session = context;
	(void)conn;
	(void)wanted;
	(void)wanted_n;
	(void)login;
	(void)login_n;
	(void)realm;
	(void)realm_n;
	(void)properties;
	return session->other_identity ? SASL_BADAUTH : SASL_OK;
}

// The documented way through any function type.
#define CALLBACK(function) ((int (*)(void))(void (*)(void))(function))

void sasl_library_set_callbacks(struct sasl_session *session)
{
	const sasl_callback_t callbacks[] = {
		{SASL_CB_GETOPT, CALLBACK(get_option), NULL},
		{SASL_CB_LOG, CALLBACK(drop_log), NULL},
		{SASL_CB_CANON_USER, CALLBACK(canonical_user), session},
		{SASL_CB_SERVER_USERDB_CHECKPASS, CALLBACK(check_password), session},
		{SASL_CB_PROXY_POLICY, CALLBACK(may_act_as), session},
		{SASL_CB_LIST_END, NULL, NULL},
	};
	_Static_assert(sizeof callbacks == sizeof session->callbacks, "one slot per callback");
	memcpy(session->callbacks, callbacks, sizeof callbacks);
}

// ---- the auxiliary property plug-in ----

// The session is found through a callback that only ours sets.
static struct sasl_session *session_of(const sasl_utils_t *utils)
{
	sasl_callback_ft function;
	void *context = NULL;
	if (utils->getcallback(utils->conn, SASL_CB_CANON_USER, &function, &context) != SASL_OK)
		return NULL;
	return context;
}

static int look_up_property(void *global, sasl_server_params_t *params, unsigned flags, const char *user, unsigned user_n)
{
	(void)global;
	(void)user;
	(void)user_n;
	struct sasl_session *session = session_of(params->utils);
	if (session == NULL || (flags & SASL_AUXPROP_AUTHZID))
		return SASL_OK;
	for (const struct propval *wanted = params->utils->prop_get(params->propctx); wanted && wanted->name; wanted++) {
		if (strcmp(wanted->name, "*authPassword") != 0)
			continue; // `*userPassword` above all: libsasl2 would take a hash for the plaintext
		struct buf value;
		buf_init(&value, PASSWORD_STORED_BYTES_MAX);
		sasl_session_scram_value(session, &value);
		int result = session->tempfail ? SASL_UNAVAIL
					       : params->utils->prop_set(params->propctx, wanted->name, value.p, (int)value.n);
		if (value.n)
			OPENSSL_cleanse(value.p, value.n);
		buf_fini(&value);
		return result;
	}
	return SASL_OK;
}

static int plugin_init(const sasl_utils_t *utils, int max_version, int *version, sasl_auxprop_plug_t **plugin, const char *name)
{
	static char own_name[] = "posthouse";
	static sasl_auxprop_plug_t own = {.auxprop_lookup = look_up_property, .name = own_name};
	(void)utils;
	(void)name;
	if (max_version < SASL_AUXPROP_PLUG_VERSION)
		return SASL_BADVERS;
	*version = SASL_AUXPROP_PLUG_VERSION;
	*plugin = &own;
	return SASL_OK;
}

// ---- set-up ----

static void *mutex_new(void)
{
	pthread_mutex_t *mutex = malloc(sizeof *mutex);
	must(mutex != NULL && pthread_mutex_init(mutex, NULL) == 0);
	return mutex;
}

static int mutex_lock(void *mutex)
{
	return pthread_mutex_lock(mutex) == 0 ? SASL_OK : SASL_FAIL;
}

static int mutex_unlock(void *mutex)
{
	return pthread_mutex_unlock(mutex) == 0 ? SASL_OK : SASL_FAIL;
}

static void mutex_free(void *mutex)
{
	pthread_mutex_destroy(mutex);
	free(mutex);
}

static enum err_code check_mechanisms(struct err *err)
{
	struct str rest = STR(MECHANISMS);
	const char **offered = sasl_global_listmech();
	while (rest.n) {
		struct str wanted = rest, after = STR_NONE;
		str_cut(rest, ' ', &wanted, &after);
		bool found = false;
		for (size_t i = 0; offered && offered[i]; i++)
			found |= str_eq(str_of_c(offered[i]), wanted);
		if (!found)
			return err_set(err, ERR_UNSUPPORTED, "libsasl2 has no %.*s here; is libsasl2-modules installed?",
				STR_FMT(wanted));
		rest = after;
	}
	return ERR_OK;
}

enum err_code sasl_library_init(const struct sasl_config *config, struct err *err)
{
	static const sasl_callback_t callbacks[] = {
		{SASL_CB_GETOPT, CALLBACK(get_option), NULL},
		{SASL_CB_LOG, CALLBACK(drop_log), NULL},
		{SASL_CB_VERIFYFILE, CALLBACK(is_wanted), NULL},
		{SASL_CB_LIST_END, NULL, NULL},
	};
	must(!library.ready && config->lookup != NULL);
	if (config->secret.n < SASL_SECRET_BYTES_MIN)
		return err_set(err, ERR_INVALID, "the secret for salts has %zu bytes, %d are needed", config->secret.n,
			SASL_SECRET_BYTES_MIN);
	sasl_set_mutex(mutex_new, mutex_lock, mutex_unlock, mutex_free);
	int result = sasl_server_init(callbacks, "posthouse");
	if (result == SASL_OK)
		result = sasl_auxprop_add_plugin("posthouse", plugin_init);
	if (result != SASL_OK) {
		sasl_server_done();
		return err_set(err, ERR_UNSUPPORTED, "start libsasl2: %s", sasl_errstring(result, NULL, NULL));
	}
	enum err_code code = check_mechanisms(err);
	if (code) {
		sasl_server_done();
		return code;
	}
	char *secret = malloc(config->secret.n);
	must(secret != NULL);
	memcpy(secret, config->secret.p, config->secret.n);
	library.config = *config;
	library.config.secret = str_of(secret, config->secret.n);
	if (library.config.now_ms == NULL)
		library.config.now_ms = monotonic_ms;
	if (library.config.scram_iterations == 0)
		library.config.scram_iterations = PASSWORD_SCRAM_ITERATIONS;
	library.ready = true;
	return ERR_OK;
}

void sasl_library_fini(void)
{
	if (!library.ready)
		return;
	sasl_server_done();
	char *secret = (char *)(uintptr_t)library.config.secret.p;
	OPENSSL_cleanse(secret, library.config.secret.n);
	free(secret);
	library.config = (struct sasl_config){.lookup = NULL};
	library.ready = false;
}
