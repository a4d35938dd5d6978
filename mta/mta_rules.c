// SPDX-License-Identifier: Apache-2.0
// The tables in files of a front-end.
#include "mta_rules.h"

#include "base/log.h"
#include "router/rules_load.h"

static void complain(void *context, struct str file, size_t line, struct str key, const char *what)
{
	(void)context;
	log_error(NULL, "a row of a table is wrong", log_str("file", file), log_u64("line", line), log_str("key", key), log_c("problem", what));
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
	if (code == ERR_OK)
		replace(mine, fresh);
	return code;
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
