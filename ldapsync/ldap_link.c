// SPDX-License-Identifier: Apache-2.0
// Talking to an LDAP server through libldap.
//
// libldap's own ldap_sync_* are not used: they take the head of the chain of answers for the message at hand and so lose entries
// when another operation shares the connection, and they report the same phase for both ends of a refresh. Messages are taken one
// by one here, and told apart by their numbers.
//
// Waits: libldap has a time-out for connecting and one for answers, but a TLS handshake, and the rest of a message whose
// beginning has come, know neither. Each call is made with the watchdog armed.
#include "ldap_link.h"

#include <errno.h>
#include <ldap.h>
#include <sasl/sasl.h>
#include <stdlib.h>
#include <sys/time.h>

#include "base/clock.h"
#include "base/must.h"
#include "ldap_entry.h"
#include "ldapsync/password_file.h"
#include "ruv.h"
#include "sync_wire.h"

enum {
	// A larger entry than ENTRY_BYTES_MAX is known as one that is cut (intake.h); one larger than this cannot even be looked
	// at.
	MESSAGE_BYTES_MAX = 256 << 20,
	READAHEAD_BYTES = 64 << 10,
	READAHEAD_LEVEL = (LBER_SBIOD_LEVEL_PROVIDER + LBER_SBIOD_LEVEL_TRANSPORT) / 2,
	DN_LEVELS_MAX = 64,
	EMPTY_PAGES_MAX = 1000,
	TLS_MIN = LDAP_OPT_X_TLS_PROTOCOL_TLS1_2,
};

// By what servers say how far they are. A 389-ds gives its vector, as it is at that moment, to whoever asks for what was a
// tombstone once, and may read the entry of the replica in its configuration.
static const struct progress {
	const char *attribute, *filter;
	int scope;
	bool (*add)(struct csns *csns, struct str value);
} progress_known[] = {
	{"contextCSN", "(objectClass=*)", LDAP_SCOPE_BASE, csns_add},
	{"nsds50ruv", "(&(nsUniqueId=ffffffff-ffffffff-ffffffff-ffffffff)(objectClass=nsTombstone))", LDAP_SCOPE_SUBTREE,
		ruv_add},
};
enum { PROGRESS_KNOWN = sizeof progress_known / sizeof *progress_known };

// To the question how far it is.
struct answer {
	struct csns csns;
	unsigned entries;
};

struct ldap_link {
	LDAP *ld;
	struct watchdog *watchdog; // borrowed
	int64_t timeout_ms; // of each wait
	int64_t refresh_s;  // of a search as a whole
	bool opening;       // connecting and binding: what fails may be the settings' fault
	struct ldap_conncb callbacks;
	const struct progress *progress; // what the server shows of how far it is; NULL: nothing
	char *suffix;              // owned; the entry that it is asked of
	int sync_id, csns_id;      // of the operations that run; -1: none
	struct answer csns;        // as they come in
	bool refused_csns;         // an answer was a failure
	struct ldap_entry *entry;  // the values of the message at hand
	LDAPMessage *message;      // owned
	LDAPControl **controls;    // owned, of the message
	char *oid;                 // owned, of the message
	struct berval *data;       // owned, of the message
};

void ldap_link_prepare(const struct settings *settings)
{
	// Nobody's ldap.conf may say that certificates need not be verified.
	must(setenv("LDAPNOINIT", "1", 1) == 0);
	if (settings->ldap_bind != SETTINGS_LDAP_BIND_GSSAPI)
		return;
	must(setenv("KRB5CCNAME", "MEMORY:posthouse", 1) == 0);
	if (settings->ldap_keytab.n)
		must(setenv("KRB5_CLIENT_KTNAME", settings->ldap_keytab.p, 1) == 0);
}

// libldap's structures lack the const; it does not write there.
static char *unconst(const char *p)
{
	return (char *)(uintptr_t)p;
}

// --- Calls ---

// What to look at first.
static const char *doubt(const struct ldap_link *link, int rc, const char *said)
{
	// Of a certificate that is not trusted libldap with GnuTLS says no more than this.
	if (said && strstr(said, "(unknown error code)"))
		return "; is its certificate for the name in ldap_uri, and of a CA in ldap_ca_file?";
	if (!link->opening)
		return "";
	if (rc == LDAP_SERVER_DOWN)
		return "; does its name resolve, does it run, and is the port for ldap:// or ldaps:// as ldap_uri has it?";
	if (rc == LDAP_INVALID_CREDENTIALS || rc == LDAP_INVALID_DN_SYNTAX)
		return "; are ldap_bind_dn, and what ldap_password_file holds, right?";
	return "";
}

// What libldap and the server say about a failure.
static enum err_code failed(struct ldap_link *link, int rc, bool bitten, const char *what, struct err *err)
{
	char *said = NULL;
	ldap_get_option(link->ld, LDAP_OPT_DIAGNOSTIC_MESSAGE, &said);
	enum err_code code = ERR_PROTOCOL;
	if (bitten || rc == LDAP_TIMEOUT)
		code = ERR_TIMEOUT;
	else if (rc == LDAP_SERVER_DOWN || rc == LDAP_CONNECT_ERROR)
		code = ERR_CONNECT;
	else if (rc == LDAP_INVALID_CREDENTIALS || rc == LDAP_INSUFFICIENT_ACCESS)
		code = ERR_DENIED;
	err_set(err, code, "%s: %s%s%s%s%s", what, bitten ? "no answer in time: " : "", ldap_err2string(rc),
		said && *said ? ": " : "", said ? said : "", bitten ? "" : doubt(link, rc, said));
	ldap_memfree(said);
	return code;
}

static void arm(struct ldap_link *link)
{
	watchdog_arm(link->watchdog, link->timeout_ms);
}

// Ends what arm began; rc is libldap's.
static enum err_code disarm(struct ldap_link *link, int rc, const char *what, struct err *err)
{
	bool bitten = watchdog_disarm(link->watchdog);
	return rc == LDAP_SUCCESS && !bitten ? ERR_OK : failed(link, rc, bitten, what, err);
}

// --- Opening ---

static int connected(LDAP *ld, Sockbuf *sockbuf, LDAPURLDesc *url, struct sockaddr *address, struct ldap_conncb *callbacks)
{
	struct ldap_link *link = callbacks->lc_arg;
	int fd = -1;
	ber_len_t bytes_max = MESSAGE_BYTES_MAX;
	int readahead_bytes = READAHEAD_BYTES;
	(void)ld;
	(void)url;
	(void)address;
	ber_sockbuf_ctrl(sockbuf, LBER_SB_OPT_SET_MAX_INCOMING, &bytes_max);
	// Else each message is read in two pieces, and asked for by a poll: with what was read ahead at hand libldap does without
	// both. Below TLS, and above what reads the socket, which comes after us.
	ber_sockbuf_add_io(sockbuf, &ber_sockbuf_io_readahead, READAHEAD_LEVEL, &readahead_bytes);
	ber_sockbuf_ctrl(sockbuf, LBER_SB_OPT_GET_FD, &fd);
	watchdog_watch(link->watchdog, fd);
	return 0;
}

static void disconnected(LDAP *ld, Sockbuf *sockbuf, struct ldap_conncb *callbacks)
{
	struct ldap_link *link = callbacks->lc_arg;
	(void)ld;
	(void)sockbuf;
	watchdog_watch(link->watchdog, -1);
}

static bool set(struct ldap_link *link, int option, const void *value)
{
	return ldap_set_option(link->ld, option, value) == LDAP_OPT_SUCCESS;
}

static bool set_int(struct ldap_link *link, int option, int value)
{
	return set(link, option, &value);
}

static enum err_code set_options(struct ldap_link *link, struct err *err)
{
	const struct timeval timeout = {.tv_sec = link->timeout_ms / 1000, .tv_usec = link->timeout_ms % 1000 * 1000};
	link->callbacks = (struct ldap_conncb){.lc_add = connected, .lc_del = disconnected, .lc_arg = link};
	if (set_int(link, LDAP_OPT_PROTOCOL_VERSION, LDAP_VERSION3) && set(link, LDAP_OPT_REFERRALS, LDAP_OPT_OFF) &&
		set(link, LDAP_OPT_NETWORK_TIMEOUT, &timeout) && set(link, LDAP_OPT_TIMEOUT, &timeout) &&
		set(link, LDAP_OPT_CONNECT_CB, &link->callbacks))
		return ERR_OK;
	return err_set(err, ERR_UNSUPPORTED, "libldap refuses an option");
}

static enum err_code set_tls(struct ldap_link *link, const struct settings *settings, struct err *err)
{
	struct str ca_file = settings_ldap_ca_file(settings);
	bool good = (ca_file.n == 0 || set(link, LDAP_OPT_X_TLS_CACERTFILE, ca_file.p)) &&
		    set_int(link, LDAP_OPT_X_TLS_REQUIRE_CERT, LDAP_OPT_X_TLS_HARD) &&
		    set_int(link, LDAP_OPT_X_TLS_PROTOCOL_MIN, TLS_MIN);
	if (good && settings->ldap_certificate.n)
		good = set(link, LDAP_OPT_X_TLS_CERTFILE, settings->ldap_certificate.p) &&
		       set(link, LDAP_OPT_X_TLS_KEYFILE, settings->ldap_key.p);
	if (good && set_int(link, LDAP_OPT_X_TLS_NEWCTX, 0))
		return ERR_OK;
	return err_set(err, ERR_TLS, "cannot set TLS up: are ldap_ca_file, ldap_certificate and ldap_key readable and PEM?");
}

static enum err_code bind_simple(struct ldap_link *link, const struct settings *settings, struct err *err)
{
	struct buf password;
	enum err_code code = ERR_OK;
	buf_init(&password, PASSWORD_FILE_BYTES_MAX);
	if (settings->ldap_bind_dn.n)
		code = password_file_read(settings->ldap_password_file.p, &password, err);
	if (code == ERR_OK) {
		struct berval secret = {.bv_len = password.n, .bv_val = password.n ? password.p : unconst("")};
		arm(link);
		int rc = ldap_sasl_bind_s(link->ld, settings->ldap_bind_dn.n ? settings->ldap_bind_dn.p : NULL, LDAP_SASL_SIMPLE,
			&secret, NULL, NULL, NULL);
		code = disarm(link, rc, "bind", err);
	}
	if (password.n)
		explicit_bzero(password.p, password.n);
	buf_fini(&password);
	return code;
}

// Whatever a mechanism asks for has its default.
static int interact(LDAP *ld, unsigned flags, void *defaults, void *questions)
{
	(void)ld;
	(void)flags;
	(void)defaults;
	for (sasl_interact_t *question = questions; question->id != SASL_CB_LIST_END; question++) {
		question->result = question->defresult ? question->defresult : "";
		question->len = (unsigned)strlen(question->result);
	}
	return LDAP_SUCCESS;
}

static enum err_code bind_sasl(struct ldap_link *link, const char *mechanism, struct err *err)
{
	arm(link);
	int rc = ldap_sasl_interactive_bind_s(link->ld, NULL, mechanism, NULL, NULL, LDAP_SASL_QUIET, interact, NULL);
	return disarm(link, rc, "bind", err);
}

static enum err_code bind_as(struct ldap_link *link, const struct settings *settings, struct err *err)
{
	switch ((enum settings_ldap_bind)settings->ldap_bind) {
	case SETTINGS_LDAP_BIND_SIMPLE:
		return bind_simple(link, settings, err);
	case SETTINGS_LDAP_BIND_EXTERNAL:
		return bind_sasl(link, "EXTERNAL", err);
	case SETTINGS_LDAP_BIND_GSSAPI:
		return bind_sasl(link, "GSSAPI", err);
	}
	unreachable("ldap_bind");
}

static enum err_code open_link(struct ldap_link *link, const struct settings *settings, const char *uri, struct err *err)
{
	struct settings_ldap_server server;
	must(settings_ldap_server(str_of_c(uri), &server)); // the rules between settings have seen it
	int rc = ldap_initialize(&link->ld, uri);
	if (rc != LDAP_SUCCESS)
		return err_set(err, ERR_INVALID, "%s", ldap_err2string(rc));
	bool starttls = server.kind == SETTINGS_LDAP_PLAIN && settings_ldap_wants_starttls(settings, &server);
	enum err_code code = set_options(link, err);
	if (code == ERR_OK && (starttls || server.kind == SETTINGS_LDAP_TLS))
		code = set_tls(link, settings, err);
	if (code == ERR_OK && starttls) {
		arm(link);
		code = disarm(link, ldap_start_tls_s(link->ld, NULL, NULL), "StartTLS", err);
	}
	return code ? code : bind_as(link, settings, err);
}

enum err_code ldap_link_open(const struct settings *settings, const char *uri, struct watchdog *watchdog,
	struct ldap_link **link_out, struct err *err)
{
	struct ldap_link *link = calloc(1, sizeof *link);
	must(link != NULL);
	link->watchdog = watchdog;
	link->timeout_ms = settings->ldap_timeout_s * 1000;
	link->refresh_s = settings->ldap_refresh_s;
	link->sync_id = link->csns_id = -1;
	link->entry = ldap_entry_new();
	link->opening = true;
	enum err_code code = open_link(link, settings, uri, err);
	link->opening = false;
	if (code)
		ldap_link_close(&link);
	else
		*link_out = link;
	return code;
}

static void free_message(struct ldap_link *link)
{
	ldap_entry_clear(link->entry);
	ldap_controls_free(link->controls);
	ldap_memfree(link->oid);
	ber_bvfree(link->data);
	ldap_msgfree(link->message);
	link->controls = NULL;
	link->oid = NULL;
	link->data = NULL;
	link->message = NULL;
}

void ldap_link_close(struct ldap_link **link_in)
{
	struct ldap_link *link = *link_in;
	if (link == NULL)
		return;
	free_message(link);
	if (link->ld) {
		arm(link);
		ldap_unbind_ext(link->ld, NULL, NULL);
		(void)watchdog_disarm(link->watchdog);
	}
	watchdog_watch(link->watchdog, -1);
	ldap_entry_free(&link->entry);
	ldap_memfree(link->suffix);
	free(link);
	*link_in = NULL;
}

int ldap_link_fd(const struct ldap_link *link)
{
	int fd = -1;
	ldap_get_option(link->ld, LDAP_OPT_DESC, &fd);
	return fd;
}

// --- Asking and waiting ---

// The result that ends a search; what the server said goes into err.
static int result_of(struct ldap_link *link, LDAPMessage *message, struct err *err)
{
	int result = LDAP_OTHER;
	char *said = NULL;
	int rc = ldap_parse_result(link->ld, message, &result, NULL, &said, NULL, NULL, 0);
	if (rc != LDAP_SUCCESS)
		result = rc;
	err_set(err, ERR_PROTOCOL, "the search ended: %s%s%s", ldap_err2string(result), said && *said ? ": " : "",
		said ? said : "");
	ldap_memfree(said);
	return result;
}

static enum err_code ask_csns(struct ldap_link *link, const struct progress *progress, const char *dn, int *id_out,
	struct err *err)
{
	char *attributes[] = {unconst(progress->attribute), NULL};
	arm(link);
	int rc = ldap_search_ext(link->ld, dn, progress->scope, progress->filter, attributes, 0, NULL, NULL, NULL, 0, id_out);
	return disarm(link, rc, "ask how far it is", err);
}

// An entry of the answer. One was asked for: who tells many would fill our memory or hold us up for ever.
static bool take_csns(struct ldap_link *link, const struct progress *progress, struct answer *answer, struct err *err)
{
	if (++answer->entries > 1) {
		err_set(err, ERR_PROTOCOL, "read %s: more than the entry that was asked for", progress->attribute);
		return false;
	}
	struct berval **values = ldap_get_values_len(link->ld, link->message, progress->attribute);
	for (size_t i = 0; values && values[i]; i++)
		(void)progress->add(&answer->csns, str_of(values[i]->bv_val, values[i]->bv_len)); // what is none, we do not hold
	ldap_value_free_len(values);
	return true;
}

// Waits for the next message of an operation: its type in *type_out, itself in link->message.
static enum err_code wait_for(struct ldap_link *link, int id, const char *what, int *type_out, struct err *err)
{
	free_message(link);
	arm(link);
	int type = ldap_result(link->ld, id, LDAP_MSG_ONE, NULL, &link->message);
	int rc = type > 0 ? LDAP_SUCCESS : LDAP_TIMEOUT;
	if (type < 0)
		ldap_get_option(link->ld, LDAP_OPT_RESULT_CODE, &rc);
	*type_out = type;
	return disarm(link, rc, what, err);
}

// An entry above the database, or not for us to see, has none.
static enum err_code end_csns(struct ldap_link *link, const struct progress *progress, int type, struct err *err)
{
	int result = type == LDAP_RES_SEARCH_RESULT ? result_of(link, link->message, err) : LDAP_PROTOCOL_ERROR;
	switch (result) {
	case LDAP_SUCCESS:
	case LDAP_NO_SUCH_OBJECT:
	case LDAP_REFERRAL:
	case LDAP_INSUFFICIENT_ACCESS:
		return ERR_OK;
	default:
		link->refused_csns = true;
		if (type != LDAP_RES_SEARCH_RESULT)
			err_set(err, ERR_PROTOCOL, "an answer that is no entry");
		return err_wrap(err, "read %s", progress->attribute);
	}
}

static enum err_code read_csns(struct ldap_link *link, const struct progress *progress, const char *dn,
	struct csns *csns_out, struct err *err)
{
	int id, type;
	struct answer answer = {0};
	enum err_code code = ask_csns(link, progress, dn, &id, err);
	while (code == ERR_OK) {
		code = wait_for(link, id, "ask how far it is", &type, err);
		if (code == ERR_OK && type != LDAP_RES_SEARCH_ENTRY) {
			code = end_csns(link, progress, type, err);
			break;
		}
		if (code == ERR_OK && !take_csns(link, progress, &answer, err))
			code = err->code;
	}
	*csns_out = answer.csns;
	return code;
}

static char *parent_of(const char *dn)
{
	LDAPDN parsed = NULL;
	char *parent = NULL;
	if (ldap_str2dn(dn, &parsed, LDAP_DN_FORMAT_LDAPV3) == LDAP_SUCCESS && parsed && parsed[0] && parsed[1])
		(void)ldap_dn2str(parsed + 1, &parent, LDAP_DN_FORMAT_LDAPV3);
	ldap_dnfree(parsed);
	return parent;
}

// Of the base or of what is above it; remembered.
static enum err_code find_csns(struct ldap_link *link, const struct progress *progress, struct str base,
	struct csns *csns_out, struct err *err)
{
	char *dn = ldap_strdup(base.p);
	enum err_code code = ERR_OK;
	csns_out->n = 0;
	for (size_t level = 0; dn && level < DN_LEVELS_MAX; level++) {
		code = read_csns(link, progress, dn, csns_out, err);
		if (code || csns_out->n)
			break;
		char *parent = parent_of(dn);
		ldap_memfree(dn);
		dn = parent;
	}
	if (code == ERR_OK && csns_out->n) {
		link->progress = progress;
		link->suffix = dn;
	} else {
		ldap_memfree(dn);
	}
	return code;
}

enum err_code ldap_link_csns(struct ldap_link *link, struct str base, struct csns *csns_out, struct err *err)
{
	enum err_code code = ERR_OK;
	if (link->suffix)
		return read_csns(link, link->progress, link->suffix, csns_out, err);
	for (size_t i = 0; code == ERR_OK && link->progress == NULL && i < PROGRESS_KNOWN; i++) {
		code = find_csns(link, &progress_known[i], base, csns_out, err);
		if (i > 0 && code == ERR_PROTOCOL)
			code = ERR_OK; // it makes nothing of such a question
	}
	if (code || link->suffix)
		return code;
	link->progress = &progress_known[0];
	link->suffix = ldap_strdup(base.p); // at least a sign of life
	must(link->suffix != NULL);
	return ERR_OK;
}

static enum err_code begin_search(struct ldap_link *link, const struct ldap_link_search *search, LDAPControl **controls,
	int *id_out, struct err *err)
{
	const char *const *attributes = search->attributes;
	int scope = search->base_only ? LDAP_SCOPE_BASE : LDAP_SCOPE_SUBTREE;
	size_t n = 0;
	while (attributes[n])
		n++;
	char **wanted = calloc(n + 1, sizeof *wanted); // as many as ldap_map names
	must(wanted != NULL);
	for (size_t i = 0; i < n; i++)
		wanted[i] = unconst(attributes[i]);
	arm(link);
	int rc = ldap_search_ext(link->ld, search->base, scope, search->filter, wanted, 0, controls, NULL, NULL, LDAP_NO_LIMIT,
		id_out);
	free(wanted);
	return disarm(link, rc, "search", err);
}

enum err_code ldap_link_sync(struct ldap_link *link, const char *base, const char *filter, const char *const *attributes,
	struct str request, struct err *err)
{
	// Entries that refer to other servers are entries here (RFC 3296): what is theirs is not ours to follow.
	LDAPControl manage = {.ldctl_oid = unconst(LDAP_CONTROL_MANAGEDSAIT)};
	LDAPControl sync = {.ldctl_oid = unconst(SYNC_OID_REQUEST), .ldctl_iscritical = 1,
		.ldctl_value = {.bv_len = request.n, .bv_val = unconst(request.p)}};
	LDAPControl *controls[] = {&sync, &manage, NULL};
	const struct ldap_link_search search = {.base = base, .filter = filter, .attributes = attributes};
	return begin_search(link, &search, controls, &link->sync_id, err);
}

enum err_code ldap_link_ask_csns(struct ldap_link *link, struct err *err)
{
	link->csns = (struct answer){0};
	return ask_csns(link, link->progress, link->suffix, &link->csns_id, err);
}

bool ldap_link_refused_csns(const struct ldap_link *link)
{
	return link->refused_csns;
}

static bool has_control(struct ldap_link *link, const char *oid, struct str *value_out)
{
	LDAPControl *control = link->controls ? ldap_control_find(oid, link->controls, NULL) : NULL;
	if (control == NULL)
		return false;
	*value_out = str_of(control->ldctl_value.bv_val, control->ldctl_value.bv_len);
	return true;
}

static enum ldap_link_next broken(struct err *err, const char *what)
{
	err_set(err, ERR_PROTOCOL, "%s", what);
	return LDAP_LINK_BROKEN;
}

// A message of the persistent search.
static enum ldap_link_next sync_message(struct ldap_link *link, int type, struct ldap_link_message *out, struct err *err)
{
	switch (type) {
	case LDAP_RES_SEARCH_ENTRY:
		if (ldap_get_entry_controls(link->ld, link->message, &link->controls) != LDAP_SUCCESS ||
			!has_control(link, SYNC_OID_STATE, &out->control))
			return broken(err, "an entry without a sync state control: the server does not know RFC 4533, or "
					   "syncprov is not loaded");
		if (!ldap_entry_read(link->entry, link->ld, link->message, &out->entry))
			return broken(err, "an entry that does not parse");
		return LDAP_LINK_ENTRY;
	case LDAP_RES_INTERMEDIATE:
		if (ldap_parse_intermediate(link->ld, link->message, &link->oid, &link->data, NULL, 0) != LDAP_SUCCESS ||
			link->oid == NULL || !str_eq(str_of_c(link->oid), STR(SYNC_OID_INFO)) || link->data == NULL)
			return broken(err, "an intermediate message that is no sync info");
		out->control = str_of(link->data->bv_val, link->data->bv_len);
		return LDAP_LINK_INFO;
	case LDAP_RES_SEARCH_REFERENCE:
		return broken(err, "a referral: part of the directory is on another server");
	case LDAP_RES_SEARCH_RESULT:
		link->sync_id = -1;
		out->result = result_of(link, link->message, err);
		return LDAP_LINK_END;
	}
	return broken(err, "a message of an unknown type");
}

static enum ldap_link_next csns_message(struct ldap_link *link, int type, struct ldap_link_message *out, struct err *err)
{
	if (type == LDAP_RES_SEARCH_ENTRY)
		return take_csns(link, link->progress, &link->csns, err) ? LDAP_LINK_NOTHING : LDAP_LINK_BROKEN;
	link->csns_id = -1;
	if (type != LDAP_RES_SEARCH_RESULT || result_of(link, link->message, err) != LDAP_SUCCESS) {
		link->refused_csns = true;
		err_wrap(err, "read %s", link->progress->attribute);
		return LDAP_LINK_BROKEN;
	}
	out->csns = &link->csns.csns;
	return LDAP_LINK_CSNS;
}

enum ldap_link_next ldap_link_next(struct ldap_link *link, struct ldap_link_message *message_out, struct err *err)
{
	for (;;) {
		struct timeval none = {0, 0};
		enum ldap_link_next next = LDAP_LINK_NOTHING;
		free_message(link);
		arm(link);
		errno = 0;
		int type = ldap_result(link->ld, LDAP_RES_ANY, LDAP_MSG_ONE, &none, &link->message);
		// liblber says so, and libldap no more than that the server is down
		bool is_too_large = type < 0 && errno == ERANGE;
		bool bitten = watchdog_disarm(link->watchdog);
		if (is_too_large && !bitten) {
			err_set(err, ERR_LIMIT,
				"a message of more than %d MiB: an entry that large, such as a group of millions, cannot be "
				"taken in and holds all changes up; divide it, or leave it out by ldap_filter",
				MESSAGE_BYTES_MAX >> 20);
			return LDAP_LINK_BROKEN;
		}
		if (type < 0 || bitten) {
			int rc = LDAP_SERVER_DOWN;
			ldap_get_option(link->ld, LDAP_OPT_RESULT_CODE, &rc);
			failed(link, rc, bitten, "connection", err);
			return LDAP_LINK_BROKEN;
		}
		if (type == 0)
			return LDAP_LINK_NOTHING;
		*message_out = (struct ldap_link_message){0};
		int id = ldap_msgid(link->message);
		if (id == link->sync_id)
			next = sync_message(link, type, message_out, err);
		else if (id == link->csns_id)
			next = csns_message(link, type, message_out, err);
		if (next != LDAP_LINK_NOTHING) // others are notices (RFC 4511, 4.4); the connection then ends by itself
			return next;
	}
}

// The end of a page: *cookie says from where the next one goes on, empty after the last. It is what the server gave.
static enum err_code end_page(struct ldap_link *link, struct berval *cookie, struct err *err)
{
	int result = LDAP_OTHER;
	ber_int_t estimate;
	LDAPControl **controls = NULL;
	ber_memfree(cookie->bv_val);
	*cookie = (struct berval){0};
	if (ldap_parse_result(link->ld, link->message, &result, NULL, NULL, NULL, &controls, 0) != LDAP_SUCCESS ||
		result != LDAP_SUCCESS) {
		ldap_controls_free(controls);
		result = result_of(link, link->message, err);
		return result == LDAP_NO_SUCH_OBJECT ? ERR_NOTFOUND : ERR_PROTOCOL;
	}
	LDAPControl *control = controls ? ldap_control_find(LDAP_CONTROL_PAGEDRESULTS, controls, NULL) : NULL;
	int rc = control ? ldap_parse_pageresponse_control(link->ld, control, &estimate, cookie) : LDAP_SUCCESS;
	ldap_controls_free(controls);
	return rc == LDAP_SUCCESS ? ERR_OK : err_set(err, ERR_PROTOCOL, "search: the end of a page does not parse");
}

// A search, page by page.
struct pages {
	struct berval cookie;
	unsigned empty;
	int64_t until_ms;
};

static enum err_code check_time(const struct ldap_link *link, const struct pages *pages, struct err *err)
{
	if (clock_mono_exact_ms() <= pages->until_ms)
		return ERR_OK;
	return err_set(err, ERR_TIMEOUT, "it has not answered as a whole within ldap_refresh_s (%lld s)",
		(long long)link->refresh_s);
}

// The entries of one search, or of one page of it. *more_out: each wants more.
static enum err_code take_entries(struct ldap_link *link, int id, ldap_link_each_fn *each, void *context, struct pages *pages,
	bool *more_out, struct err *err)
{
	if (++pages->empty > EMPTY_PAGES_MAX)
		return err_set(err, ERR_PROTOCOL, "search: %d pages without an entry", EMPTY_PAGES_MAX);
	for (;;) {
		struct raw_entry entry;
		int type;
		enum err_code code = wait_for(link, id, "search", &type, err);
		if (code)
			return code;
		if (type == LDAP_RES_SEARCH_RESULT)
			return end_page(link, &pages->cookie, err);
		if (type == LDAP_RES_SEARCH_REFERENCE)
			return err_set(err, ERR_PROTOCOL, "search: a referral: part of the directory is on another server");
		if (type != LDAP_RES_SEARCH_ENTRY || !ldap_entry_read(link->entry, link->ld, link->message, &entry))
			return err_set(err, ERR_PROTOCOL, "search: an answer that is no entry");
		pages->empty = 0;
		*more_out = each(context, &entry);
		if (!*more_out)
			return ERR_OK;
		code = check_time(link, pages, err);
		if (code)
			return code;
	}
}

enum err_code ldap_link_search(struct ldap_link *link, const struct ldap_link_search *search, ldap_link_each_fn *each,
	void *context, struct err *err)
{
	LDAPControl manage = {.ldctl_oid = unconst(LDAP_CONTROL_MANAGEDSAIT)};
	LDAPControl domain = {.ldctl_oid = unconst("1.2.840.113556.1.4.1339")};
	struct pages pages = {.until_ms = clock_mono_exact_ms() + link->refresh_s * 1000};
	enum err_code code;
	bool more = true;
	do {
		LDAPControl *controls[4] = {&manage}, *page = NULL;
		size_t n = 1;
		int id;
		if (search->domain_scope)
			controls[n++] = &domain;
		if (search->page) {
			must(ldap_create_page_control(link->ld, (ber_int_t)search->page, &pages.cookie, 0, &page) ==
				LDAP_SUCCESS);
			controls[n++] = page;
		}
		code = begin_search(link, search, controls, &id, err);
		ldap_control_free(page);
		if (code == ERR_OK)
			code = take_entries(link, id, each, context, &pages, &more, err);
	} while (code == ERR_OK && more && pages.cookie.bv_len > 0);
	ber_memfree(pages.cookie.bv_val);
	free_message(link);
	return code;
}
