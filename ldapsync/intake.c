// SPDX-License-Identifier: Apache-2.0
// The intake of an entry: classes, values in order of their numbers, keys, the split into shadow and credentials.
#include "intake.h"

#include <stdlib.h>

#include "base/must.h"
#include "dn.h"
#include "keys.h"
#include "mail/access_rule.h"
#include "mail/addr.h"
#include "mail/route_rule.h"
#include "schema/attr_words.h"
#include "value.h"

enum {
	HEAVY_BYTES_MAX = 64 << 20, // values of one entry while it is made
	MAP_BYTES_MAX = 1 << 30,
	REALMS_BYTES_MAX = 64 << 20,
	SORT_FEW = 32,
	ADDRESSED = ENTRY_RECIPIENT | ENTRY_USER | ENTRY_ALIAS | ENTRY_LIST | ENTRY_GROUP, // classes whose addresses receive mail
};

struct realm {
	struct str domain; // domain.key
	struct str realm;  // domain.key
};

struct item {
	const struct attr_info *info;
	struct str text, key;
};

struct intake {
	intake_complain_fn *complain;
	void *context;
	const struct profile *profile; // borrowed; NULL: native
	struct arena *map_arena; // of the entry in native words
	struct arena *arena;   // of the entry
	struct arena *scratch; // of one value
	struct buf data, keys, secret_data, secret_keys;
	struct guid dn_key;    // of the entry
	bool without_secrets;
	struct arena *realm_arena;
	struct realm *realms; // owned; sorted by domain once surveyed
	size_t n_realms, room_realms;
};

struct intake *intake_new(intake_complain_fn *complain, void *context)
{
	struct intake *intake = calloc(1, sizeof *intake);
	must(intake != NULL);
	intake->complain = complain;
	intake->context = context;
	intake->arena = arena_new(HEAVY_BYTES_MAX);
	intake->map_arena = arena_new(MAP_BYTES_MAX);
	intake->scratch = arena_new(VALUE_SCRATCH_BYTES);
	intake->realm_arena = arena_new(REALMS_BYTES_MAX);
	buf_init(&intake->data, ENTRY_BYTES_MAX);
	buf_init(&intake->secret_data, ENTRY_BYTES_MAX);
	buf_init(&intake->keys, KEYS_BYTES_MAX);
	buf_init(&intake->secret_keys, KEYS_BYTES_MAX);
	return intake;
}

void intake_without_secrets(struct intake *intake)
{
	intake->without_secrets = true;
}

void intake_free(struct intake **intake_in)
{
	struct intake *intake = *intake_in;
	if (intake == NULL)
		return;
	arena_free(&intake->arena);
	arena_free(&intake->map_arena);
	arena_free(&intake->scratch);
	arena_free(&intake->realm_arena);
	buf_fini(&intake->data);
	buf_fini(&intake->secret_data);
	buf_fini(&intake->keys);
	buf_fini(&intake->secret_keys);
	free(intake->realms);
	free(intake);
	*intake_in = NULL;
}

void intake_use_profile(struct intake *intake, const struct profile *profile)
{
	intake->profile = profile;
}

static unsigned classes_of(const struct raw_entry *record)
{
	unsigned classes = 0;
	for (size_t i = 0; i < record->n_values; i++)
		if (str_eq_nocase(record->values[i].name, STR("objectClass")))
			classes |= attr_class_by_name(str_trim(record->values[i].value));
	if (classes & (ENTRY_USER | ENTRY_LIST))
		classes |= ENTRY_RECIPIENT; // SUP
	return classes;
}

// --- Realms ---

static struct str record_value(const struct raw_entry *record, enum attr attr)
{
	struct str name = str_of_c(attr_name(attr));
	for (size_t i = 0; i < record->n_values; i++)
		if (str_eq_nocase(record->values[i].name, name))
			return record->values[i].value;
	return STR_NONE;
}

static void add_realm(struct intake *intake, struct str domain, struct str realm)
{
	struct domain domain_parsed, realm_parsed;
	arena_reset(intake->scratch);
	if (domain_parse(intake->scratch, domain, DOMAIN_UTF8, &domain_parsed) != DOMAIN_OK ||
		domain_parse(intake->scratch, realm, DOMAIN_UTF8, &realm_parsed) != DOMAIN_OK)
		return;
	struct realm made = {arena_dup(intake->realm_arena, domain_parsed.key), arena_dup(intake->realm_arena, realm_parsed.key)};
	if (arena_overflowed(intake->realm_arena))
		return;
	if (intake->n_realms == intake->room_realms) {
		intake->room_realms = intake->room_realms ? 2 * intake->room_realms : 64;
		intake->realms = reallocarray(intake->realms, intake->room_realms, sizeof *intake->realms);
		must(intake->realms != NULL);
	}
	intake->realms[intake->n_realms++] = made;
}

// The record in native words if it is a domain, of which alone this is asked; without complaints, which come when it is made.
static bool map_domain(struct intake *intake, const struct raw_entry *record, struct raw_entry *native_out)
{
	if (!(profile_map_classes(intake->profile, record) & ENTRY_DOMAIN))
		return false;
	arena_reset(intake->map_arena);
	return profile_map_entry(intake->profile, record, intake->map_arena, NULL, NULL, native_out);
}

void intake_survey(struct intake *intake, const struct raw_entry *given)
{
	struct raw_entry native;
	const struct raw_entry *record = &native;
	if (!map_domain(intake, given, &native))
		return;
	struct str realm = record_value(record, ATTR_PH_AUTH_REALM);
	if (realm.n == 0)
		return;
	for (size_t i = 0; i < record->n_values; i++)
		if (str_eq_nocase(record->values[i].name, str_of_c(attr_name(ATTR_ASSOCIATED_DOMAIN))))
			add_realm(intake, record->values[i].value, realm);
}

static int compare_realms(const void *a, const void *b)
{
	return str_cmp(((const struct realm *)a)->domain, ((const struct realm *)b)->domain);
}

void intake_surveyed(struct intake *intake)
{
	if (intake->n_realms)
		qsort(intake->realms, intake->n_realms, sizeof *intake->realms, compare_realms);
}

static struct str realm_of(const struct intake *intake, struct str domain)
{
	struct realm wanted = {.domain = domain};
	const struct realm *found =
		intake->n_realms ? bsearch(&wanted, intake->realms, intake->n_realms, sizeof wanted, compare_realms) : NULL;
	return found ? found->realm : domain;
}

bool intake_realms_differ(struct intake *intake, const struct raw_entry *entry)
{
	struct raw_entry native;
	const struct raw_entry *record = &native;
	if (!map_domain(intake, entry, &native))
		return false;
	struct str given = record_value(record, ATTR_PH_AUTH_REALM);
	for (size_t i = 0; i < record->n_values; i++) {
		struct domain domain, realm;
		if (!str_eq_nocase(record->values[i].name, str_of_c(attr_name(ATTR_ASSOCIATED_DOMAIN))))
			continue;
		arena_reset(intake->scratch);
		if (domain_parse(intake->scratch, record->values[i].value, DOMAIN_UTF8, &domain) != DOMAIN_OK)
			continue;
		if (given.n == 0 || domain_parse(intake->scratch, given, DOMAIN_UTF8, &realm) != DOMAIN_OK)
			realm = domain;
		if (!str_eq(realm_of(intake, domain.key), realm.key))
			return true;
	}
	return false;
}

struct guid intake_realms_hash(const struct intake *intake)
{
	struct guid hash = {0};
	for (size_t i = 0; i < intake->n_realms; i++)
		hash = guid_derive(&hash, intake->realms[i].domain, intake->realms[i].realm);
	return hash;
}

void intake_forget(struct intake *intake)
{
	arena_reset(intake->realm_arena);
	intake->n_realms = 0;
}

// --- Values ---

static void refuse(struct intake *intake, const struct raw_entry *record, size_t line, struct str attribute, const char *what)
{
	intake->complain(intake->context, line, record->dn, attribute, what);
}

// What is wrong with a value as a rule; NULL when nothing is. It is kept: the router defers what a broken rule is about, and
// without the rule the mail would go another way.
static const char *check_rule(unsigned classes, enum attr attr, struct str text, struct arena *scratch)
{
	struct route_rule rule = ROUTE_RULE_NONE;
	const char *wrong = attr_words_wrong(attr, text);
	struct str key;
	struct access_rule_keys keys;
	struct access_rule action;
	bool is_route = classes & ENTRY_ROUTE, is_access = classes & ENTRY_ACCESS;
	if (is_route && attr == ATTR_PH_ROUTE_KEY)
		wrong = route_rule_key(scratch, text, &key);
	else if ((is_route && attr == ATTR_PH_ROUTE_TARGET) || attr == ATTR_PH_RELAY_TRANSPORT)
		wrong = route_rule_target(scratch, text, &rule);
	else if (is_route && attr == ATTR_PH_ROUTE_TLS)
		wrong = route_rule_tls(scratch, text, &rule);
	else if (is_route && attr == ATTR_PH_ROUTE_OPTIONS)
		wrong = route_rule_option(scratch, text, &rule);
	else if (attr == ATTR_PH_STATUS && entry_status_of(text) == ENTRY_STATUS_BAD)
		wrong = "is no status: mail waits, and nobody logs in, until it is active, nologin, noreceive, hold, suspended, "
			"disabled or deleted";
	else if (is_access && attr == ATTR_PH_ACCESS_KEY)
		wrong = access_rule_keys(scratch, text, &keys);
	else if (is_access && attr == ATTR_PH_ACCESS_ACTION)
		wrong = access_rule_action(scratch, text, &action);
	if (wrong == NULL && route_rule_needs_mx(&rule))
		wrong = "needs MX records, which are not looked up yet: write the next hop as [name]; until then its mail is "
			"deferred";
	return wrong;
}

static bool is_address(const struct attr_info *info)
{
	return info->attr == ATTR_MAIL || info->attr == ATTR_MAIL_LOCAL_ADDRESS || info->attr == ATTR_PH_INTL_ADDRESS;
}

static bool is_wanted(const struct raw_value *value, const struct attr_info *info, bool cut)
{
	return info && (!cut || is_address(info)) && (info->attr != ATTR_ORIGIN || value->from);
}

// However many values it has, the addresses of one that is cut fit.
static size_t count_wanted(const struct raw_entry *record, bool cut)
{
	size_t n = 0;
	for (size_t i = 0; cut && i < record->n_values; i++)
		n += is_wanted(&record->values[i], attr_by_name(record->values[i].name), true);
	return cut ? n : record->n_values;
}

// With its language, where that is of use.
static struct str stored_text(struct intake *intake, enum attr attr, struct str lang, struct str text)
{
	if (!entry_has_languages(attr) || !entry_is_language(lang))
		return arena_dup(intake->arena, text);
	return entry_with_language(intake->arena, lang, text);
}

// What was meant to forbid something, or to keep something, and cannot be read: somebody wanted it, so it is not as if it were
// not there. In its place stands a value that lets nothing through and loses nothing, before all others (entry_first) or where
// there is no other.
static const struct {
	enum attr refused, attr;
	struct str value;
	bool is_first;
} stand_ins[] = {
	{ATTR_PH_STATUS, ATTR_PH_STATUS, STR("(not readable)"), true}, // no status: later
	{ATTR_PH_EXPIRES, ATTR_PH_STATUS, STR("(phExpires not readable)"), true},
	{ATTR_PH_SERVICE, ATTR_PH_SERVICE, STR("(not readable)"), false}, // grants nothing; none at all would grant everything
	{ATTR_PH_FORWARD_KEEP_COPY, ATTR_PH_FORWARD_KEEP_COPY, STR("TRUE"), true},
	{ATTR_PH_LIST_POST_POLICY, ATTR_PH_LIST_POST_POLICY, STR("(not readable)"), true},
	{ATTR_PH_LIST_REQUIRE_AUTH, ATTR_PH_LIST_POST_POLICY, STR("(phListRequireAuth not readable)"), true},
	// With allowed senders and no policy a list is not open to anyone; who else may post is not known.
	{ATTR_PH_LIST_ALLOWED_SENDER, ATTR_PH_LIST_POST_POLICY, STR("(phListAllowedSender not readable)"), false},
	{ATTR_PH_LIST_ALLOWED_SENDER_DN, ATTR_PH_LIST_POST_POLICY, STR("(phListAllowedSenderDN not readable)"), false},
	{ATTR_PH_LIST_ALLOWED_SENDER_URL, ATTR_PH_LIST_POST_POLICY, STR("(phListAllowedSenderURL not readable)"), false},
};
enum { STAND_INS = sizeof stand_ins / sizeof *stand_ins };

static const struct item *find_item(const struct item *items, size_t n, enum attr attr)
{
	for (size_t i = 0; i < n; i++)
		if (items[i].info->attr == attr)
			return &items[i];
	return NULL;
}

// Behind n items there is room for them. Returns how many items there are then.
static size_t add_stand_ins(struct item *items, size_t n, const bool refused[ATTR_NUMBER_MAX + 1])
{
	for (size_t i = 0; i < STAND_INS; i++) {
		const struct item item = {attr_by_number(stand_ins[i].attr), stand_ins[i].value, STR_NONE};
		if (!refused[stand_ins[i].refused] || (!stand_ins[i].is_first && find_item(items, n, stand_ins[i].attr)))
			continue;
		memmove(items + 1, items, n * sizeof *items);
		items[0] = item;
		n++;
	}
	return n;
}

// The good values of the record, in its order; of one that is cut the addresses alone.
static struct item *check_values(struct intake *intake, const struct raw_entry *record, unsigned classes, bool cut, size_t *n_out)
{
	struct item *items = arena_array(intake->arena, count_wanted(record, cut) + STAND_INS, sizeof *items);
	bool single[ATTR_NUMBER_MAX + 1] = {false}, refused[ATTR_NUMBER_MAX + 1] = {false};
	size_t n = 0;
	for (size_t i = 0; items && i < record->n_values; i++) {
		const struct raw_value *from = &record->values[i];
		const struct attr_info *info = attr_by_name(from->name);
		struct value value;
		if (!is_wanted(from, info, cut))
			continue;
		arena_reset(intake->scratch);
		const char *wrong = value_check(info->check, from->value, intake->scratch, &value);
		if (wrong == NULL && info->values == ATTR_SINGLE && single[info->attr])
			refuse(intake, record, from->line, raw_value_name(from),
				"has several values and may have one"); // kept: nobody guesses which
		single[info->attr] = true;
		if (wrong) {
			refuse(intake, record, from->line, raw_value_name(from), wrong);
			refused[info->attr] = true;
			continue;
		}
		wrong = check_rule(classes, info->attr, value.text, intake->scratch);
		if (wrong)
			refuse(intake, record, from->line, raw_value_name(from), wrong);
		items[n++] = (struct item){
			info, stored_text(intake, info->attr, from->lang, value.text), arena_dup(intake->arena, value.key)};
	}
	*n_out = items ? add_stand_ins(items, n, refused) : 0;
	return items;
}

// By number, stable: few by insertion, many by counting, because a group has 100,000 values of one attribute.
static struct item *sort_items(struct intake *intake, struct item *items, size_t n)
{
	for (size_t i = 1; n <= SORT_FEW && i < n; i++) {
		struct item one = items[i];
		size_t to = i;
		for (; to > 0 && items[to - 1].info->attr > one.info->attr; to--)
			items[to] = items[to - 1];
		items[to] = one;
	}
	if (n <= SORT_FEW)
		return items;
	size_t at[ATTR_NUMBER_MAX + 2] = {0};
	struct item *sorted = arena_array(intake->arena, n, sizeof *sorted);
	if (sorted == NULL)
		return NULL;
	for (size_t i = 0; i < n; i++)
		at[items[i].info->attr + 1]++;
	for (size_t i = 1; i < ATTR_NUMBER_MAX + 2; i++)
		at[i] += at[i - 1];
	for (size_t i = 0; i < n; i++)
		sorted[at[items[i].info->attr]++] = items[i];
	return sorted;
}

// --- Identity ---

// The entryUUID, else one from the DN. *has_out: it may serve as mailbox id.
static struct guid identity(struct intake *intake, const struct raw_entry *record, unsigned flags, bool *has_out)
{
	struct guid uuid;
	*has_out = record->uuid != NULL && !record->uuid_of_dn;
	if (record->uuid)
		return *record->uuid;
	for (size_t i = 0; i < record->n_values && !(flags & INTAKE_OWN_UUID); i++)
		if (str_eq_nocase(record->values[i].name, STR("entryUUID"))) {
			if (guid_parse(record->values[i].value, &uuid) && !guid_is_zero(&uuid)) {
				*has_out = true;
				return uuid;
			}
			refuse(intake, record, record->values[i].line, raw_value_name(&record->values[i]), "is not a UUID");
		}
	return guid_derive(&intake->dn_key, STR_NONE, STR("entry"));
}

// A mailbox needs one id that is certain: a phMailboxId that is refused or there twice must not fall back to entryUUID, another
// mailbox.
static bool mailbox_is_doubtful(const struct raw_entry *record, const struct item *items, size_t n)
{
	size_t given = 0, good = 0;
	struct str name = str_of_c(attr_name(ATTR_PH_MAILBOX_ID));
	for (size_t i = 0; i < record->n_values; i++)
		given += str_eq_nocase(record->values[i].name, name);
	for (size_t i = 0; i < n; i++)
		good += items[i].info->attr == ATTR_PH_MAILBOX_ID;
	return given > 1 || given != good;
}

static size_t drop_items(struct item *items, size_t n, enum attr attr)
{
	size_t kept = 0;
	for (size_t i = 0; i < n; i++)
		if (items[i].info->attr != attr)
			items[kept++] = items[i];
	return kept;
}

// --- Keys ---

static void add_login_key(struct intake *intake, struct str login, struct str realm)
{
	arena_reset(intake->scratch);
	struct str key = directory_login_key(intake->scratch, login, realm);
	if (key.p == NULL)
		return;
	keys_add(&intake->keys, DIRECTORY_LOGIN, key);
	keys_add(&intake->secret_keys, DIRECTORY_LOGIN, key);
}

static void add_user_keys(struct intake *intake, const struct item *items, size_t n, const struct entry *entry)
{
	struct guid mailbox_id;
	if (entry_mailbox_id(entry, &mailbox_id))
		keys_add(&intake->keys, DIRECTORY_MAILBOX, guid_bytes(&mailbox_id));
	const struct item *mail = find_item(items, n, ATTR_MAIL);
	ptrdiff_t at = mail ? str_rindex(mail->key, '@') : -1;
	if (at < 0)
		return; // no domain, no realm: it cannot log in by uid
	struct str realm = arena_dup(intake->arena, realm_of(intake, str_from(mail->key, (size_t)at + 1)));
	for (size_t i = 0; i < n; i++)
		if (items[i].info->attr == ATTR_UID || items[i].info->attr == ATTR_PH_LOGIN_ALIAS)
			add_login_key(intake, items[i].text, realm);
}

static void add_host_key(struct intake *intake, struct str name)
{
	struct domain domain;
	arena_reset(intake->scratch);
	if (domain_parse(intake->scratch, name, DOMAIN_UTF8, &domain) == DOMAIN_OK && domain.kind == DOMAIN_NAME)
		keys_add(&intake->keys, DIRECTORY_HOST, domain.key);
}

static void add_route_key(struct intake *intake, struct str text)
{
	struct str key;
	arena_reset(intake->scratch);
	if (route_rule_key(intake->scratch, text, &key) == NULL)
		keys_add(&intake->keys, DIRECTORY_ROUTE, key);
}

static void add_access_keys(struct intake *intake, struct str text)
{
	struct access_rule_keys keys;
	arena_reset(intake->scratch);
	if (access_rule_keys(intake->scratch, text, &keys) == NULL)
		for (size_t i = 0; i < keys.n; i++)
			keys_add(&intake->keys, DIRECTORY_ACCESS, keys.v[i]);
}

static void add_keys(struct intake *intake, const struct item *items, size_t n, const struct entry *entry)
{
	keys_add(&intake->keys, DIRECTORY_DN, guid_bytes(&intake->dn_key));
	for (size_t i = 0; i < n; i++) {
		enum attr attr = items[i].info->attr;
		if ((entry->classes & ADDRESSED) && is_address(items[i].info))
			keys_add(&intake->keys, DIRECTORY_ADDRESS, items[i].key);
		if ((entry->classes & ENTRY_DOMAIN) && attr == ATTR_ASSOCIATED_DOMAIN)
			keys_add(&intake->keys, DIRECTORY_DOMAIN, items[i].key);
		if ((entry->classes & ENTRY_HOST) && attr == ATTR_CN)
			add_host_key(intake, items[i].text);
		if ((entry->classes & ENTRY_CLASS_OF_SERVICE) && attr == ATTR_CN) {
			arena_reset(intake->scratch);
			struct str class = addr_local_key(intake->scratch, items[i].text);
			keys_add(&intake->keys, DIRECTORY_CLASS_OF_SERVICE, class);
			keys_add(&intake->secret_keys, DIRECTORY_CLASS_OF_SERVICE, class); // its phService is asked at log-in
		}
		if ((entry->classes & ENTRY_HOST) && attr == ATTR_PH_HOST_TLS_PIN)
			keys_add(&intake->keys, DIRECTORY_PIN, items[i].text);
		if ((entry->classes & ENTRY_ROUTE) && attr == ATTR_PH_ROUTE_KEY)
			add_route_key(intake, items[i].text);
		if ((entry->classes & ENTRY_ACCESS) && attr == ATTR_PH_ACCESS_KEY)
			add_access_keys(intake, items[i].text);
	}
	if (entry->classes & ENTRY_USER)
		add_user_keys(intake, items, n, entry);
}

// --- All of it ---

static bool is_ours(unsigned classes, const struct item *items, size_t n)
{
	// People without a mailbox here and plain groups may be members of our groups.
	return classes != 0 || find_item(items, n, ATTR_MAIL) != NULL || find_item(items, n, ATTR_MEMBER) != NULL;
}

static bool fill_blobs(struct intake *intake, const struct item *items, size_t n, const struct entry *head)
{
	entry_begin(&intake->data, &head->uuid, head->has_uuid, head->classes, head->dn);
	entry_begin(&intake->secret_data, &head->uuid, head->has_uuid, head->classes, head->dn);
	for (size_t i = 0; i < n; i++) {
		if (items[i].info->where & ATTR_IN_SHADOW)
			entry_add(&intake->data, items[i].info->attr, items[i].text);
		if (items[i].info->where & ATTR_IN_CREDENTIALS)
			entry_add(&intake->secret_data, items[i].info->attr, items[i].text);
	}
	if (head->cut)
		entry_mark_cut(&intake->data);
	return entry_seal(&intake->data) && entry_seal(&intake->secret_data);
}

// Keys and action of an access entry are each right, and may be wrong together: RELAY for everybody.
static void check_access(struct intake *intake, const struct raw_entry *record, const struct item *items, size_t n)
{
	const struct item *action = find_item(items, n, ATTR_PH_ACCESS_ACTION);
	struct access_rule_keys keys;
	struct access_rule rule;
	arena_reset(intake->scratch);
	if (action == NULL || access_rule_action(intake->scratch, action->text, &rule) != NULL)
		return;
	for (size_t i = 0; i < n; i++) {
		if (items[i].info->attr != ATTR_PH_ACCESS_KEY || access_rule_keys(intake->scratch, items[i].text, &keys) != NULL)
			continue;
		const char *wrong = access_rule_check(&keys, &rule);
		if (wrong)
			refuse(intake, record, record->line, STR("phAccessAction"), wrong);
	}
}

static void clear(struct intake *intake)
{
	arena_reset(intake->arena);
	buf_clear(&intake->data);
	buf_clear(&intake->keys);
	buf_clear(&intake->secret_data);
	buf_clear(&intake->secret_keys);
}

// INTAKE_REFUSED: it does not fit. Nothing was said of that.
static enum intake_result encode(struct intake *intake, const struct raw_entry *record, unsigned flags, bool cut,
	struct entry *head_out, struct item **items_out, size_t *n_out)
{
	size_t n = 0;
	struct entry head = {.classes = classes_of(record), .dn = record->dn, .cut = cut};
	clear(intake);
	struct item *items = check_values(intake, record, head.classes, cut, &n);
	struct item *sorted = items ? sort_items(intake, items, n) : NULL;
	if (sorted == NULL || arena_overflowed(intake->arena))
		return INTAKE_REFUSED;
	if (!is_ours(head.classes, sorted, n))
		return INTAKE_SKIPPED;
	head.uuid = identity(intake, record, flags, &head.has_uuid);
	if (mailbox_is_doubtful(record, sorted, n)) {
		n = drop_items(sorted, n, ATTR_PH_MAILBOX_ID);
		head.has_uuid = false;
	}
	if (!fill_blobs(intake, sorted, n, &head) || !entry_decode(buf_str(&intake->data), head_out))
		return INTAKE_REFUSED;
	*items_out = sorted;
	*n_out = n;
	return INTAKE_TAKEN;
}

enum intake_result intake_make(struct intake *intake, const struct raw_entry *given, unsigned flags, struct intake_made *made_out)
{
	size_t n = 0;
	struct raw_entry native;
	const struct raw_entry *record = &native;
	arena_reset(intake->map_arena);
	if (!profile_map_entry(intake->profile, given, intake->map_arena, intake->complain, intake->context, &native)) {
		refuse(intake, given, given->line, STR_NONE, "is too large: the entry is left out");
		return INTAKE_REFUSED;
	}
	struct entry head = {.classes = classes_of(record), .dn = record->dn};
	clear(intake);
	if (head.classes == 0 && record_value(record, ATTR_MAIL).p == NULL && record_value(record, ATTR_MEMBER).p == NULL)
		return INTAKE_SKIPPED;
	if (record->dn.n > ENTRY_DN_BYTES_MAX || !str_is_utf8(record->dn) || !dn_parse_key(record->dn, &intake->dn_key)) {
		refuse(intake, record, record->line, STR("dn"), "is not a DN: the entry is left out");
		return INTAKE_REFUSED;
	}
	struct item *sorted;
	struct guid mailbox_id;
	enum intake_result result = encode(intake, record, flags, record->partial, &head, &sorted, &n);
	if (record->partial && result == INTAKE_TAKEN)
		refuse(intake, record, record->line, STR_NONE,
			"is given with a part of its values (range=): of it only its addresses are kept, and mail for them "
			"waits");
	if (result == INTAKE_REFUSED) { // somebody who is there is never nobody: mail for it waits
		result = encode(intake, record, flags, true, &head, &sorted, &n);
		refuse(intake, record, record->line, STR_NONE, result == INTAKE_TAKEN ?
			"is too large: of it only its addresses are kept, and mail for them waits until it is smaller" :
			"is too large: the entry is left out");
	}
	if (result != INTAKE_TAKEN)
		return result;
	if ((head.classes & ENTRY_USER) && !head.cut && !entry_mailbox_id(&head, &mailbox_id))
		refuse(intake, record, record->line, STR_NONE,
			"has neither phMailboxId nor entryUUID: its mail is deferred until it has one");
	if (head.classes & ENTRY_ACCESS)
		check_access(intake, record, sorted, n);
	add_keys(intake, sorted, n, &head);
	*made_out = (struct intake_made){.uuid = head.uuid, .data = buf_str(&intake->data), .keys = buf_str(&intake->keys)};
	if (intake->secret_keys.n && !intake->without_secrets) {
		made_out->secret_data = buf_str(&intake->secret_data);
		made_out->secret_keys = buf_str(&intake->secret_keys);
	}
	return INTAKE_TAKEN;
}
