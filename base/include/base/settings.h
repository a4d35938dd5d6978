// SPDX-License-Identifier: Apache-2.0
// Settings: one row each, from which come the struct, the parser, the validation and the manual page. The engine only; the rows
// of Posthouse are in schema/settings.def, and daemons read `struct settings` of schema/settings.h.
//
// A row:   SETTING(TYPE, name, "default", min, max, "unit or choices", flags, "prose")
//
//     SETTING(INT, recipients_max, "100", 1, 100000, "", SETTINGS_RELOAD, "Recipients of one message; more get 452 4.5.3.")
//
// TYPE      field in the struct               in the file
// STR       struct str                        a string; min and max bound its bytes (LIST, PATHS: those of an element)
// PATH      struct str, NUL after it          an absolute path, or empty
// INT       int64_t                           a whole number in the unit that the name ends with
// DURATION  int64_t, in the row's unit        "30" (in that unit) or with ms, s, m, h, d: "5d", "90s"
// BYTES     int64_t                           "65536", or with K, M, G (powers of 1024; KiB, MiB, GiB are read too)
// BOOL      bool                              yes, no, true, false, on, off
// ENUM      int, index into the choices       one of the choices "|reject|normalize"
// LIST      struct settings_list              {"a", "b"}; a single "a" is read too
// PATHS     struct settings_list              the same, absolute paths
// ADDRESS   struct settings_address           "host:port", "[v6]:port", empty for none
// ADDRESSES struct settings_addresses         {"0.0.0.0:25", "[::]:25"}; the host is an IP address
// NETWORKS  struct settings_networks          {"127.0.0.0/8", "::1"}
//
// SETTINGS_SECTION(tls, "prose") begins a group of rows. Those whose names begin with the group's may stand in a section: `tls {
// certificate = x }` and `tls_certificate = x` are the same. include("file") reads another file, its path relative to the one it
// stands in, 16 at most. A setting is set once: a second place is an error, so the order of files says nothing.
//
// All errors of a file are reported at once, one line each: FILE:LINE: setting: what; what to do. Loading never blocks on
// anything but the file; not on scheduler threads. A loaded snapshot is immutable and counted: who works with settings across a
// yield holds a reference.
#ifndef BASE_SETTINGS_H
#define BASE_SETTINGS_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/netaddr.h"

enum settings_type {
	SETTINGS_STR,
	SETTINGS_PATH,
	SETTINGS_INT,
	SETTINGS_DURATION,
	SETTINGS_BYTES,
	SETTINGS_BOOL,
	SETTINGS_ENUM,
	SETTINGS_LIST,
	SETTINGS_PATHS,
	SETTINGS_ADDRESS,
	SETTINGS_ADDRESSES,
	SETTINGS_NETWORKS,
};

enum settings_flags {
	SETTINGS_START = 0,       // read at start only
	SETTINGS_RELOAD = 1 << 0, // a reload takes it over
	SETTINGS_NEEDED = 1 << 1, // must not be empty
};

// Strings and arrays of a snapshot live in its arena.
struct settings_list {
	struct str *v;
	size_t n;
};

struct settings_address {
	struct str host; // NUL after it; without brackets; empty: not set
	uint16_t port;
};

struct settings_addresses {
	struct netaddr *v;
	size_t n;
};

struct settings_networks {
	struct netaddr_net *v;
	size_t n;
};

// The C type of a row's field.
typedef struct str settings_c_STR;
typedef struct str settings_c_PATH;
typedef int64_t settings_c_INT;
typedef int64_t settings_c_DURATION;
typedef int64_t settings_c_BYTES;
typedef bool settings_c_BOOL;
typedef int settings_c_ENUM;
typedef struct settings_list settings_c_LIST;
typedef struct settings_list settings_c_PATHS;
typedef struct settings_address settings_c_ADDRESS;
typedef struct settings_addresses settings_c_ADDRESSES;
typedef struct settings_networks settings_c_NETWORKS;

struct settings_row {
	const char *section; // set: this row opens a section, and only section and prose count
	const char *name;
	enum settings_type type;
	const char *def; // in the file's syntax; lists as {"a", "b"}
	int64_t min, max;
	const char *unit; // or choices
	unsigned flags;
	const char *prose;
	size_t offset; // of the field
};

// Collects errors; one line each. Any number of them.
struct settings_report {
	struct buf lines;
	size_t errors;
	const struct settings_load *load; // where the settings stand in the file, while one is being read
};

struct settings_table {
	const struct settings_row *rows;
	size_t n;
	size_t values_bytes; // sizeof the struct with the fields
	// Rules between settings; may be NULL. Reports with settings_complain().
	void (*check)(const void *values, struct settings_report *report);
};

struct settings_snapshot; // counted; any thread

// Reads path over the defaults (NULL: the defaults alone, for tests). On failure ERR_INVALID (or what opening the file gave),
// every error in *report, *out untouched. report is initialised by the caller with settings_report_init().
enum err_code settings_load(const struct settings_table *table, const char *path, struct settings_report *report,
	struct settings_snapshot **out) ERR_CHECKED;

struct settings_snapshot *settings_ref(struct settings_snapshot *snapshot);
void settings_unref(struct settings_snapshot **snapshot); // nulls; frees with the last reference
const void *settings_values(const struct settings_snapshot *snapshot);

// Names of settings that differ although their rows say "read at start only", one line each: what a reload cannot take over.
void settings_start_only_changes(const struct settings_table *table, const void *old_values, const void *new_values,
	struct buf *names);

void settings_report_init(struct settings_report *report);
void settings_report_fini(struct settings_report *report);

// For rules between settings: "name: what; what to do", with the place in the file when a file set it.
void settings_complain(struct settings_report *report, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

// The same with a place of its own, for checks that look into other files.
void settings_complain_at(struct settings_report *report, const char *file, int line, const char *name, const char *what);

// What is no error but surely not meant: a line like the others, "FILE:LINE: name: warning: what", which is not counted.
void settings_warn(struct settings_report *report, const char *name, const char *what);
void settings_warn_at(struct settings_report *report, const char *file, int line, const char *name, const char *what);

// The value of a row as the file would have it ("5d", {"a", "b"}).
void settings_print_value(const struct settings_row *row, const void *values, struct buf *b);

// True when the field has its default.
bool settings_is_default(const struct settings_row *row, const void *values);

// "host:port", "[v6]:port"; the host may be a name, and borrows. NULL, or what is wrong with it: "has no port; write …", a
// literal.
const char *settings_address_read(struct str text, struct settings_address *address_out);

// True when addr is in one of the networks.
bool settings_networks_have(const struct settings_networks *networks, const struct netaddr *addr);

#endif
