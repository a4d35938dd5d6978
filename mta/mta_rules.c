// SPDX-License-Identifier: Apache-2.0
// The tables in files of a front-end.
#include "mta_rules.h"

#include "base/log.h"
#include "router/rules_load.h"

static void complain(void *context, struct str file, size_t line, struct str key, const char *what)
{
	(void)context;
	log_error(NULL, "a row of a table is wrong", log_str("file", file), log_u64("line", line), log_str("key", key),
		log_c("problem", what));
}

static const struct {
	enum rules_kind kind;
	const char *setting, *meanwhile;
} kinds[] = {
	{RULES_ROUTES, "routes_file", "mail for outside addresses waits"},
	{RULES_ACCESS, "access_file", "no mail is taken in"},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

// Has the old one a good table where the new one is damaged? At the start there is none to keep.
static bool loses(const struct mta_rules *mine, const struct rules *fresh)
{
	for (size_t i = 0; i < KINDS && mine->is_loaded; i++)
		if (rules_is_damaged(fresh, kinds[i].kind) && !rules_is_damaged(mine->rules, kinds[i].kind))
			return true;
	return false;
}

static void replace(struct mta_rules *mine, struct rules *fresh)
{
	pthread_mutex_lock(&mine->mutex);
	struct rules *before = mine->rules;
	mine->rules = fresh;
	pthread_mutex_unlock(&mine->mutex);
	rules_drop(&before);
}

enum err_code mta_rules_load(struct mta_rules *mine, const struct settings *settings, struct err *err)
{
	struct rules *fresh;
	enum err_code code = rules_load(settings, complain, NULL, &fresh, err);
	if (code && loses(mine, fresh))
		rules_drop(&fresh);
	else
		replace(mine, fresh);
	mine->is_loaded = true;
	return code;
}

void mta_rules_trouble(struct mta_rules *mine, struct buf *text)
{
	struct rules *rules = mta_rules_get(mine);
	for (size_t i = 0; i < KINDS; i++)
		if (rules_is_damaged(rules, kinds[i].kind))
			buf_printf(text,
				"%s%s (%.*s) cannot be used, %s: `posthouse check` says why; correct it and `posthouse reload`",
				text->n ? "; " : "", kinds[i].setting, STR_FMT(rules_name(rules, kinds[i].kind)),
				kinds[i].meanwhile);
	rules_drop(&rules);
}

struct rules *mta_rules_get(struct mta_rules *mine)
{
	pthread_mutex_lock(&mine->mutex);
	struct rules *rules = mine->rules ? rules_ref(mine->rules) : NULL;
	pthread_mutex_unlock(&mine->mutex);
	return rules;
}

void mta_rules_drop(struct mta_rules *mine)
{
	replace(mine, NULL);
}
