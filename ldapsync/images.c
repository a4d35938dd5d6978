// SPDX-License-Identifier: Apache-2.0
// Opening both files of the image, and what happens to a damaged one.
#include "images.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/must.h"
#include "schema/ddl_shadow.h"

// A database that SQLite calls damaged is kept for whoever wants to know why; what was in it comes from the source again.
static enum err_code put_aside(const char *path, struct err *err)
{
	static const char *const suffixes[] = {"", "-wal", "-shm"};
	for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
		char *from, *to;
		must(asprintf(&from, "%s%s", path, suffixes[i]) > 0 && asprintf(&to, "%s.damaged%s", path, suffixes[i]) > 0);
		int rc = rename(from, to);
		enum err_code code = rc && errno != ENOENT ? err_errno(err, "rename %s", from) : ERR_OK;
		free(from);
		free(to);
		if (code)
			return code;
	}
	return ERR_OK;
}

static enum err_code open_one(const char *path, const struct db_schema *schema, struct image **image_out, struct err *err)
{
	enum err_code code = image_open(path, schema, image_out, err);
	if (code != ERR_CORRUPT)
		return code;
	log_error(NULL, "database is damaged; it is put aside and made anew", log_err(err));
	code = put_aside(path, err);
	return code ? code : image_open(path, schema, image_out, err);
}

static enum err_code open_both(struct images *images, struct err *err)
{
	enum err_code code = open_one(images->shadow_path, &ddl_shadow, &images->shadow, err);
	return code ? code : open_one(images->credentials_path, &ddl_credentials, &images->credentials, err);
}

enum err_code images_open(struct images *images, const char *shadow_path, const char *credentials_path, struct err *err)
{
	*images = (struct images){.shadow_path = strdup(shadow_path), .credentials_path = strdup(credentials_path)};
	must(images->shadow_path != NULL && images->credentials_path != NULL);
	enum err_code code = open_both(images, err);
	if (code)
		images_close(images);
	return code;
}

void images_close(struct images *images)
{
	image_close(&images->shadow);
	image_close(&images->credentials);
	free(images->shadow_path);
	free(images->credentials_path);
	*images = (struct images){0};
}

void images_remake(struct images *images)
{
	struct err err;
	image_close(&images->shadow);
	image_close(&images->credentials);
	enum err_code code = put_aside(images->shadow_path, &err);
	if (code == ERR_OK)
		code = put_aside(images->credentials_path, &err);
	if (code == ERR_OK)
		code = open_both(images, &err);
	if (code) {
		log_error(NULL, "cannot make the shadow anew", log_err(&err));
		abort();
	}
}

bool images_are_damaged(enum err_code code)
{
	return code == ERR_CORRUPT || code == ERR_EXISTS;
}
