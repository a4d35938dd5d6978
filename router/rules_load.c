// SPDX-License-Identifier: Apache-2.0
// routes_file and access_file.
#include "router/rules_load.h"

#include "base/file.h"

static enum err_code read_path(struct str path, struct buf *text, struct err *err)
{
	ptrdiff_t slash = str_rindex(path, '/');
	int dir;
	enum err_code code = file_dir_open(slash > 0 ? str_upto(path, (size_t)slash) : STR("/"), &dir, err);
	if (code)
		return code;
	code = file_read(dir, str_from(path, (size_t)slash + 1), text, err);
	file_close(dir);
	return code;
}

static enum err_code add(struct rules *rules, enum rules_kind kind, struct str path, rules_complain_fn *complain, void *context,
	struct err *err)
{
	struct buf text;
	if (path.n == 0)
		return ERR_OK;
	buf_init(&text, RULES_FILE_BYTES_MAX);
	enum err_code code = read_path(path, &text, err);
	if (code) {
		code = err_wrap(err, "%.*s", STR_FMT(path));
		rules_damage(rules, kind, path);
	} else if (!rules_add(rules, kind, path, buf_str(&text), complain, context))
		code = err_set(err, ERR_INVALID, "%.*s has rows that are wrong", STR_FMT(path));
	buf_fini(&text);
	return code;
}

enum err_code rules_load(const struct settings *settings, rules_complain_fn *complain, void *context, struct rules **rules_out,
	struct err *err)
{
	struct rules *rules = NULL;
	enum err_code code = ERR_OK;
	if (settings->routes_file.n || settings->access_file.n) {
		struct err second;
		rules = rules_new();
		code = add(rules, RULES_ROUTES, settings->routes_file, complain, context, err);
		enum err_code other = add(rules, RULES_ACCESS, settings->access_file, complain, context, code ? &second : err);
		code = code ? code : other;
	}
	*rules_out = rules;
	return code;
}
