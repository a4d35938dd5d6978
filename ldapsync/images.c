// SPDX-License-Identifier: Apache-2.0
// Opening both files of the image, and what happens to damaged ones.
#include "images.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/must.h"
#include "schema/ddl_shadow.h"

enum { WAL, SHM, SIDE_FILES };
static const char *const side_files[SIDE_FILES] = {[WAL] = "-wal", [SHM] = "-shm"};

// path and up to two suffixes; the caller frees it.
static char *name_of(const char *path, const char *suffix, const char *side_file)
{
	char *name;
	must(asprintf(&name, "%s%s%s", path, suffix, side_file) > 0);
	return name;
}

static void remove_file(const char *path, const char *suffix)
{
	for (size_t i = 0; i <= SIDE_FILES; i++) {
		char *name = name_of(path, suffix, i < SIDE_FILES ? side_files[i] : "");
		unlink(name); // what is not there is gone
		free(name);
	}
}

static enum err_code rename_file(const char *from, const char *to, struct err *err)
{
	return rename(from, to) == 0 || errno == ENOENT ? ERR_OK : err_errno(err, "rename %s", from);
}

// The damaged file is kept for whoever wants to know why. Its log goes first: the new file must never be found beside it.
static enum err_code replace_file(const char *path, struct err *err)
{
	enum err_code code = ERR_OK;
	char *new = name_of(path, ".new", ""), *damaged = name_of(path, ".damaged", "");
	unlink(damaged);
	if (link(path, damaged) != 0 && errno != ENOENT)
		log_warning(NULL, "a damaged database is not kept", log_c("path", path), log_c("why", strerrordesc_np(errno)));
	for (size_t i = 0; i < SIDE_FILES && code == ERR_OK; i++) {
		char *from = name_of(path, "", side_files[i]), *to = name_of(path, ".damaged", side_files[i]);
		code = rename_file(from, to, err);
		free(from);
		free(to);
	}
	if (code == ERR_OK && rename(new, path) != 0)
		code = err_errno(err, "rename %s", new);
	remove_file(path, ".new"); // its log, which is empty
	free(new);
	free(damaged);
	return code;
}

static enum err_code open_one(const char *path, bool beside, const struct db_schema *schema, struct image **image_out,
	struct images_place *place_out, struct err *err)
{
	struct stat st;
	char *name = name_of(path, beside ? ".new" : "", "");
	enum err_code code = image_open(name, schema, image_out, err);
	if (code == ERR_OK && stat(name, &st) != 0)
		code = err_errno(err, "%s", name);
	if (code == ERR_OK)
		*place_out = (struct images_place){.device = st.st_dev, .inode = st.st_ino, .bytes = st.st_size};
	free(name);
	return code;
}

static enum err_code open_both(struct images *images, struct err *err)
{
	enum err_code code =
		open_one(images->shadow_path, images->beside, &ddl_shadow, &images->shadow, &images->places[0], err);
	return code ? code
		    : open_one(images->credentials_path, images->beside, &ddl_credentials, &images->credentials,
			      &images->places[1], err);
}

static void close_both(struct images *images)
{
	image_close(&images->shadow);
	image_close(&images->credentials);
}

// What is in the old files is not all there is, from now on.
static void doubt(struct images *images)
{
	struct image_state state;
	struct err ignored;
	if (images->shadow == NULL || image_state(images->shadow, &state, &ignored) != ERR_OK)
		return;
	images->replaced = state.complete ? state.entries : 0;
	if (state.complete)
		(void)!image_confirm(images->shadow, false, state.confirmed_ms, &ignored);
}

static enum err_code make_beside(struct images *images, struct err *err)
{
	doubt(images);
	close_both(images);
	images->beside = true;
	remove_file(images->shadow_path, ".new");
	remove_file(images->credentials_path, ".new");
	return open_both(images, err);
}

static void must_work(enum err_code code, const struct err *err)
{
	if (code == ERR_OK)
		return;
	log_error(NULL, "cannot make the shadow anew", log_err(err));
	abort();
}

// Whoever logged in here once logs in elsewhere now: the hashes go from this disk, and all is loaded once more.
static enum err_code forget_secrets(struct images *images, struct err *err)
{
	struct image_state state;
	enum err_code code = image_state(images->credentials, &state, err);
	if (code || state.entries == 0)
		return code;
	close_both(images);
	remove_file(images->credentials_path, "");
	return open_both(images, err);
}

enum err_code images_open(struct images *images, const struct images_config *config, struct err *err)
{
	*images = (struct images){.shadow_path = strdup(config->shadow_path),
		.credentials_path = strdup(config->credentials_path),
		.without_secrets = config->without_secrets,
		.profile = config->profile};
	must(images->shadow_path != NULL && images->credentials_path != NULL);
	enum err_code code = open_both(images, err);
	if (code == ERR_OK && images->without_secrets)
		code = forget_secrets(images, err);
	if (images_are_damaged(code) || code == ERR_IO) { // a disk that no longer has it
		log_error(NULL, "the shadow is damaged; it is made anew beside the old one", log_err(err));
		code = make_beside(images, err);
	}
	if (code)
		images_close(images);
	return code;
}

void images_close(struct images *images)
{
	close_both(images);
	free(images->shadow_path);
	free(images->credentials_path);
	*images = (struct images){0};
}

void images_checkpoint(struct images *images)
{
	image_checkpoint(images->credentials);
	image_checkpoint(images->shadow);
}

void images_remake(struct images *images)
{
	struct err err;
	if (!images->beside)
		must_work(make_beside(images, &err), &err);
}

static enum err_code take_place(struct images *images, struct err *err)
{
	enum err_code code = image_fold(images->credentials, err);
	if (code == ERR_OK)
		code = image_fold(images->shadow, err);
	close_both(images);
	if (code == ERR_OK)
		code = replace_file(images->credentials_path, err);
	if (code == ERR_OK)
		code = replace_file(images->shadow_path, err);
	images->beside = false;
	images->replaced = 0;
	return code ? code : open_both(images, err);
}

void images_take_place(struct images *images)
{
	struct err err;
	if (!images->beside)
		return;
	must_work(take_place(images, &err), &err);
	log_warning(NULL, "the shadow was made anew; the damaged one is kept", log_c("shadow", images->shadow_path),
		log_c("suffix", ".damaged"));
}

static bool is_in_place(const char *path, bool beside, struct images_place *place)
{
	struct stat st;
	char *name = name_of(path, beside ? ".new" : "", "");
	bool is_there =
		stat(name, &st) == 0 && st.st_dev == place->device && st.st_ino == place->inode && st.st_size >= place->bytes;
	free(name);
	if (is_there)
		place->bytes = st.st_size;
	return is_there;
}

bool images_are_in_place(struct images *images)
{
	return is_in_place(images->shadow_path, images->beside, &images->places[0]) &&
	       is_in_place(images->credentials_path, images->beside, &images->places[1]);
}

void images_count_replaced(const struct images *images, struct image_counters *counters)
{
	if (!images->beside || counters->entries > 0)
		return;
	counters->entries = images->replaced;
	counters->deleted += images->replaced > counters->added ? images->replaced - counters->added : 0;
}

bool images_are_damaged(enum err_code code)
{
	return code == ERR_CORRUPT || code == ERR_EXISTS;
}
