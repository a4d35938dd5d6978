// SPDX-License-Identifier: Apache-2.0
// A connection to an LDAP server, bound and under a watchdog: what libldap is asked, in one place.
//
//     ldap_link_open(settings, uri, watchdog, &link, &err)       // connect, TLS, bind
//     ldap_link_csns(link, base, &csns, &err)
//     ldap_link_sync(link, filter, attributes, request, &err)    // the persistent search begins
//     switch (ldap_link_next(link, &message, &err)) { case LDAP_LINK_ENTRY: message.entry, message.control ... }
//     ldap_link_close(&link);
//
// Every call may block on the network, for ldap_timeout_s at most, apart from ldap_link_next, which does not wait for a message
// to begin. Names are resolved by libc, with its own time-outs. One thread.
#ifndef LDAPSYNC_LDAP_LINK_H
#define LDAPSYNC_LDAP_LINK_H

#include "csn.h"
#include "raw_entry.h"
#include "schema/settings.h"
#include "watchdog.h"

struct ldap_link;

// Before any other thread is there: libldap reads no files of its own and no environment but what is said here.
void ldap_link_prepare(const struct settings *settings);

enum err_code ldap_link_open(const struct settings *settings, const char *uri, struct watchdog *watchdog,
	struct ldap_link **link_out, struct err *err) ERR_CHECKED;
void ldap_link_close(struct ldap_link **link);

// For poll(). There may be messages in memory although it is not readable: ask ldap_link_next first.
int ldap_link_fd(const struct ldap_link *link);

// How far the server is: the contextCSN of the database that has this base, that of the base itself or, where a database is
// larger, of an entry above; or the replica update vector of a 389-ds. Neither is no failure: *csns_out is empty. Remembers which
// it was, and of which entry. May be asked while other operations run.
enum err_code ldap_link_csns(struct ldap_link *link, struct str base, struct csns *csns_out, struct err *err) ERR_CHECKED;

// All entries that the filter finds, one by one; borrowed for the call. Anything but all of them is a failure: a limit, a
// referral, longer than ldap_refresh_s; ERR_NOTFOUND when base is not there. each returns false to be told of no more, which is
// none.
typedef bool ldap_link_each_fn(void *context, const struct raw_entry *entry);
struct ldap_link_search {
	const char *base, *filter;
	bool base_only;                // that entry alone, where the filter finds it
	const char *const *attributes; // NULL ends them
	unsigned page;                 // above 0: in pages of so many (RFC 2696), of a server that offers them
	bool domain_scope;             // of Active Directory: no word of other naming contexts ([MS-ADTS] 3.1.1.3.4.1.12)
};
enum err_code ldap_link_search(struct ldap_link *link, const struct ldap_link_search *search, ldap_link_each_fn *each,
	void *context, struct err *err) ERR_CHECKED;

// Begins the persistent search (RFC 4533) with this value of the request control.
enum err_code ldap_link_sync(struct ldap_link *link, const char *base, const char *filter, const char *const *attributes,
	struct str request, struct err *err) ERR_CHECKED;

// Asks for the same without waiting; the answer comes as LDAP_LINK_CSNS.
enum err_code ldap_link_ask_csns(struct ldap_link *link, struct err *err) ERR_CHECKED;

// Has the server answered one of these questions, waited for or not, with a failure?
bool ldap_link_refused_csns(const struct ldap_link *link);

enum ldap_link_next {
	LDAP_LINK_NOTHING, // for now
	LDAP_LINK_ENTRY,   // entry and control: the value of its sync state control
	LDAP_LINK_INFO,    // control: the value of the sync info message
	LDAP_LINK_CSNS,    // csns
	LDAP_LINK_END,     // of the persistent search: result and, in err, what the server said
	LDAP_LINK_BROKEN,  // the connection is of no more use; err
};
struct ldap_link_message {
	struct raw_entry entry; // all borrowed until the next call
	struct str control;
	const struct csns *csns;
	int result;
};
enum ldap_link_next ldap_link_next(struct ldap_link *link, struct ldap_link_message *message_out, struct err *err);

#endif
