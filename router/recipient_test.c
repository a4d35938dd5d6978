// SPDX-License-Identifier: Apache-2.0
// Verdicts as tables: an LDIF, an address, what must come out and by which rules. Rows of THREATS are named after it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "base/clock.h"
#include "router/recipient.h"
#include "test_world.h"

static const char people[] =
	"dn: associatedDomain=uni.example,dc=uni\nobjectClass: phMailDomain\nassociatedDomain: uni.example\nphDomainType: local\n\n"
	"dn: associatedDomain=alias.example,dc=uni\nobjectClass: phMailDomain\nassociatedDomain: alias.example\nphDomainType: alias\n"
	"phDomainAliasOf: uni.example\n\n"
	"dn: associatedDomain=ghost.example,dc=uni\nobjectClass: phMailDomain\nassociatedDomain: ghost.example\nphDomainType: alias\n"
	"phDomainAliasOf: mistyped.example\n\n"
	"dn: associatedDomain=loop1.example,dc=uni\nobjectClass: phMailDomain\nassociatedDomain: loop1.example\nphDomainType: alias\n"
	"phDomainAliasOf: loop2.example\n\n"
	"dn: associatedDomain=loop2.example,dc=uni\nobjectClass: phMailDomain\nassociatedDomain: loop2.example\nphDomainType: alias\n"
	"phDomainAliasOf: loop1.example\n\n"
	"dn: associatedDomain=relay.example,dc=uni\nobjectClass: phMailDomain\nassociatedDomain: relay.example\nphDomainType: relay\n"
	"phIncludeSubdomains: TRUE\n\n"
	"dn: associatedDomain=all.example,dc=uni\nobjectClass: phMailDomain\nassociatedDomain: all.example\nphDomainType: local\n"
	"phCatchAll: %1@uni.example\nphSubaddressDelimiter: -_\nowner: uid=anna,dc=uni\n\n"
	// a backup server that knows who is there, one half of a domain, and slips of the pen
	"dn: associatedDomain=known.example,dc=uni\nobjectClass: phMailDomain\nassociatedDomain: known.example\nphDomainType: backup\n"
	"phUnknownUser: reject\n\n"
	"dn: cn=known,dc=uni\nobjectClass: phMailRecipient\nobjectClass: phMailUser\ncn: known\nmail: here@known.example\n"
	"mailHost: mx.known.example\nphMailHostRelay: TRUE\n\n"
	"dn: associatedDomain=backup.example,dc=uni\nobjectClass: phMailDomain\nassociatedDomain: backup.example\nphDomainType: backup\n"
	"phUnknownUser: tempfail\n\n"
	"dn: cn=atbackup,dc=uni\nobjectClass: phMailAlias\ncn: atbackup\nmailLocalAddress: anna@backup.example\n"
	"rfc822MailMember: anna@uni.example\n\n"
	"dn: associatedDomain=half.example,dc=uni\nobjectClass: phMailDomain\nassociatedDomain: half.example\nphDomainType: local\n"
	"phUnknownUser: relay\n\n"
	"dn: associatedDomain=slip.example,dc=uni\nobjectClass: phMailDomain\nassociatedDomain: slip.example\nphDomainType: local\n"
	"phUnknownUser: realy\n\n"
	"dn: associatedDomain=slip2.example,dc=uni\nobjectClass: phMailDomain\nassociatedDomain: slip2.example\nphDomainType: relay\n"
	"phUnknownUser: rejct\n\n"
	"dn: associatedDomain=nobody.example,dc=uni\nobjectClass: phMailDomain\nassociatedDomain: nobody.example\nphDomainType: local\n"
	"phUnknownUser: catchall\nphCatchAll: anna at uni.example\n\n"
	"dn: associatedDomain=later.example,dc=uni\nobjectClass: phMailDomain\nassociatedDomain: later.example\nphDomainType: local\n"
	"phUnknownUser: tempfail\n\n"
	"dn: associatedDomain=b\xc3\xbc" "cher.example,dc=uni\nobjectClass: phMailDomain\nassociatedDomain: b\xc3\xbc" "cher.example\n"
	"phDomainType: local\n\n"
	"dn: associatedDomain=shut.example,dc=uni\nobjectClass: phMailDomain\nassociatedDomain: shut.example\nphDomainType: local\n"
	"phStatus: disabled\n\n"
	"dn: associatedDomain=wait.example,dc=uni\nobjectClass: phMailDomain\nassociatedDomain: wait.example\nphDomainType: relay\n"
	"phStatus: hold\n\n"
	"dn: cn=atshut,dc=uni\nobjectClass: phMailAlias\ncn: atshut\nmailLocalAddress: x@shut.example\nmailLocalAddress: y@uni.example\n"
	"rfc822MailMember: anna@uni.example\n\n"
	"dn: cn=both,dc=uni\nobjectClass: phMailAlias\ncn: both\nmailLocalAddress: both@uni.example\nrfc822MailMember: anna@uni.example\n"
	"rfc822MailMember: x@shut.example\n\n"
	"dn: cn=soon,dc=uni\nobjectClass: phMailAlias\ncn: soon\nmailLocalAddress: soon@uni.example\nrfc822MailMember: anna@uni.example\n"
	"rfc822MailMember: x@wait.example\n\n"
	"dn: uid=dn,dc=uni\nobjectClass: phMailUser\nuid: dn\nmail: dn@uni.example\nmailHost: mb1.uni.example\nphForwardKeepCopy: TRUE\n"
	"phForwardDN: UID=Anna, dc=uni\nphForwardAddress: x@else.example\nentryUUID: 00000000-0000-0000-0000-0000000000a1\n\n"
	"dn: uid=dead,dc=uni\nobjectClass: phMailUser\nuid: dead\nmail: dead@uni.example\nmailHost: mb1.uni.example\n"
	"phForwardDN: uid=gone,dc=uni\nentryUUID: 00000000-0000-0000-0000-0000000000a2\n\n"
	"dn: cn=mb1,dc=uni\nobjectClass: phMailHost\ncn: mb1.uni.example\nphHostEndpoint: lmtp=inet:192.0.2.1:24\n"
	"phHostEndpoint: imap=inet:192.0.2.1:143\nphHostTlsPin: sha256:aa\n\n"
	"dn: cn=noendpoint,dc=uni\nobjectClass: phMailHost\ncn: noendpoint.uni.example\n\n"
	"dn: uid=anna,dc=uni\nobjectClass: phMailUser\nuid: anna\nmail: anna@uni.example\nmailLocalAddress: Anna.Berg@uni.example\n"
	"mailLocalAddress: anna@all.example\nmailHost: mb1.uni.example\nentryUUID: 00000000-0000-0000-0000-00000000000a\n\n"
	"dn: uid=bob,dc=uni\nobjectClass: phMailUser\nuid: bob\nmail: bob@uni.example\nmailHost: mb1.uni.example\n"
	"phForwardAddress: bob@else.example\nentryUUID: 00000000-0000-0000-0000-00000000000b\n\n"
	"dn: uid=keep,dc=uni\nobjectClass: phMailUser\nuid: keep\nmail: keep@uni.example\nmailHost: mb1.uni.example\n"
	"phForwardAddress: anna@uni.example\nphForwardKeepCopy: TRUE\nentryUUID: 00000000-0000-0000-0000-00000000000c\n\n"
	"dn: uid=self,dc=uni\nobjectClass: phMailUser\nuid: self\nmail: self@uni.example\nmailHost: mb1.uni.example\n"
	"phForwardAddress: self@uni.example\nentryUUID: 00000000-0000-0000-0000-00000000000d\n\n"
	"dn: uid=ping,dc=uni\nobjectClass: phMailUser\nuid: ping\nmail: ping@uni.example\nmailHost: mb1.uni.example\n"
	"phForwardAddress: pong@uni.example\nentryUUID: 00000000-0000-0000-0000-00000000000e\n\n"
	"dn: uid=pong,dc=uni\nobjectClass: phMailUser\nuid: pong\nmail: pong@uni.example\nmailHost: mb1.uni.example\n"
	"phForwardAddress: ping@uni.example\nentryUUID: 00000000-0000-0000-0000-00000000000f\n\n"
	"dn: uid=moved,dc=uni\nobjectClass: phMailUser\nuid: moved\nmail: moved@uni.example\nmailHost: mb1.uni.example\n"
	"mailRoutingAddress: anna@uni.example\nentryUUID: 00000000-0000-0000-0000-000000000010\n\n"
	"dn: uid=lost,dc=uni\nobjectClass: phMailUser\nuid: lost\nmail: lost@uni.example\nmailHost: evil.example\n"
	"entryUUID: 00000000-0000-0000-0000-000000000011\n\n"
	"dn: uid=nohost,dc=uni\nobjectClass: phMailUser\nuid: nohost\nmail: nohost@uni.example\n"
	"entryUUID: 00000000-0000-0000-0000-000000000012\n\n"
	"dn: uid=twohosts,dc=uni\nobjectClass: phMailUser\nuid: twohosts\nmail: twohosts@uni.example\nmailHost: mb1.uni.example\n"
	"mailHost: mb2.uni.example\nentryUUID: 00000000-0000-0000-0000-000000000013\n\n"
	"dn: uid=noid,dc=uni\nobjectClass: phMailUser\nuid: noid\nmail: noid@uni.example\nmailHost: mb1.uni.example\n\n"
	"dn: uid=noend,dc=uni\nobjectClass: phMailUser\nuid: noend\nmail: noend@uni.example\nmailHost: noendpoint.uni.example\n"
	"entryUUID: 00000000-0000-0000-0000-000000000014\n\n"
	"dn: uid=twin1,dc=uni\nobjectClass: phMailUser\nuid: twin1\nmail: twin@uni.example\nmailHost: mb1.uni.example\n"
	"entryUUID: 00000000-0000-0000-0000-000000000015\n\n"
	"dn: uid=twin2,dc=uni\nobjectClass: phMailUser\nuid: twin2\nmail: Twin@uni.example\nmailHost: mb1.uni.example\n"
	"entryUUID: 00000000-0000-0000-0000-000000000016\n\n"
	"dn: uid=hold,dc=uni\nobjectClass: phMailUser\nuid: hold\nmail: hold@uni.example\nmailHost: mb1.uni.example\nphStatus: hold\n"
	"entryUUID: 00000000-0000-0000-0000-000000000017\n\n"
	"dn: uid=activ,dc=uni\nobjectClass: phMailUser\nuid: activ\nmail: activ@alias.example\nmailHost: mb1.uni.example\nphStatus: activ\n"
	"entryUUID: 00000000-0000-0000-0000-00000000002a\n\n"
	"dn: cn=only,dc=uni\nobjectClass: phMailGroup\nobjectClass: phMailList\ncn: only\nmail: only@alias.example\nowner: uid=anna,dc=uni\n"
	"member: uid=off,dc=uni\n\n"
	"dn: uid=off,dc=uni\nobjectClass: phMailUser\nuid: off\nmail: off@uni.example\nmailHost: mb1.uni.example\nphStatus: Disabled\n"
	"entryUUID: 00000000-0000-0000-0000-000000000018\n\n"
	"dn: uid=old,dc=uni\nobjectClass: phMailUser\nuid: old\nmail: old@uni.example\nmailHost: mb1.uni.example\n"
	"phExpires: 20200101000000Z\nentryUUID: 00000000-0000-0000-0000-000000000019\n\n"
	"dn: uid=intl,dc=uni\nobjectClass: phMailUser\nuid: intl\nmail: intl@uni.example\nphIntlAddress: J\xc3\xbcrgen@b\xc3\xbc" "cher.example\n"
	"mailHost: mb1.uni.example\nentryUUID: 00000000-0000-0000-0000-00000000001a\n\n"
	"dn: uid=plus,dc=uni\nobjectClass: phMailUser\nuid: plus\nmail: c++@uni.example\nmailHost: mb1.uni.example\n"
	"entryUUID: 00000000-0000-0000-0000-00000000001b\n\n"
	"dn: cn=info,dc=uni\nobjectClass: phMailAlias\ncn: info\nmailLocalAddress: info@uni.example\nrfc822MailMember: help@uni.example\n\n"
	"dn: cn=help,dc=uni\nobjectClass: phMailAlias\ncn: help\nmailLocalAddress: help@uni.example\nrfc822MailMember: anna@uni.example\n"
	"rfc822MailMember: Anna.Berg@uni.example\nrfc822MailMember: ext@else.example\n\n"
	"dn: cn=ring1,dc=uni\nobjectClass: phMailAlias\ncn: ring1\nmailLocalAddress: ring1@uni.example\nrfc822MailMember: ring2@uni.example\n\n"
	"dn: cn=ring2,dc=uni\nobjectClass: phMailAlias\ncn: ring2\nmailLocalAddress: ring2@uni.example\nrfc822MailMember: ring1@uni.example\n\n"
	"dn: cn=half,dc=uni\nobjectClass: phMailAlias\ncn: half\nmailLocalAddress: half@uni.example\nrfc822MailMember: anna@uni.example\n"
	"rfc822MailMember: gone@uni.example\n\n"
	"dn: cn=doubt,dc=uni\nobjectClass: phMailAlias\ncn: doubt\nmailLocalAddress: doubt@uni.example\nrfc822MailMember: anna@uni.example\n"
	"rfc822MailMember: twin@uni.example\n\n"
	"dn: cn=staff,dc=uni\nobjectClass: phMailGroup\ncn: staff\nmail: staff@uni.example\nmember: UID=anna, dc=uni\nmember: uid=hold,dc=uni\n"
	"member: uid=lost,dc=uni\nmember: cn=inner,dc=uni\nmember: uid=nobody,dc=uni\nmember: uid=guest,dc=uni\n"
	"rfc822MailMember: anna@uni.example\n\n"
	"dn: cn=inner,dc=uni\nobjectClass: phMailGroup\ncn: inner\nmember: uid=anna,dc=uni\nmember: cn=staff,dc=uni\n\n"
	"dn: uid=guest,dc=uni\nobjectClass: inetOrgPerson\nuid: guest\nmail: guest@else.example\n\n"
	"dn: cn=empty,dc=uni\nobjectClass: phMailGroup\ncn: empty\nmail: empty@uni.example\n\n"
	"dn: cn=news,dc=uni\nobjectClass: groupOfNames\nobjectClass: phMailList\ncn: news\nmail: News@uni.example\nmember: uid=anna,dc=uni\n\n"
	"dn: cn=postmaster,dc=uni\nobjectClass: phMailAlias\ncn: postmaster\nmailLocalAddress: postmaster@uni.example\n"
	"rfc822MailMember: anna@uni.example\n\n"
	"dn: dc=role\nobjectClass: phMailDomain\nassociatedDomain: role.example\nphDomainType: local\nowner: uid=anna,dc=uni\n\n"
	"dn: cn=rolepm\nobjectClass: phMailAlias\nmailLocalAddress: postmaster@role.example\nrfc822MailMember: off@uni.example\n\n"
	"dn: cn=roleabuse\nobjectClass: phMailAlias\nmailLocalAddress: abuse@role.example\nrfc822MailMember: gone@uni.example\n\n"
	"dn: cn=rolenoc\nobjectClass: phMailAlias\nmailLocalAddress: noc@role.example\nrfc822MailMember: hold@uni.example\n\n"
	// a domain with no owner, whose postmaster is gone, and what leads there
	"dn: dc=lone\nobjectClass: phMailDomain\nassociatedDomain: lone.example\nphDomainType: local\n\n"
	"dn: cn=lonepm\nobjectClass: phMailAlias\nmailLocalAddress: postmaster@lone.example\nrfc822MailMember: off@uni.example\n\n"
	"dn: cn=lonedaemon\nobjectClass: phMailAlias\nmailLocalAddress: mailer-daemon@lone.example\nrfc822MailMember: postmaster@lone.example\n\n"
	"dn: cn=lonesecond\nobjectClass: phMailAlias\nmailLocalAddress: second@lone.example\nrfc822MailMember: mailer-daemon@lone.example\n"
	"rfc822MailMember: gone@uni.example\n\n"
	"dn: cn=loneabuse\nobjectClass: phMailAlias\nmailLocalAddress: abuse@lone.example\nrfc822MailMember: Postmaster@lone.example\n\n"
	"dn: cn=lonelist\nobjectClass: phMailGroup\nobjectClass: phMailList\nmail: list@lone.example\nrfc822MailMember: postmaster@lone.example\n\n"
	"dn: cn=rolelist\nobjectClass: phMailGroup\nobjectClass: phMailList\nmail: list@role.example\nmember: uid=anna,dc=uni\n"
	"owner: uid=off,dc=uni\n\n"
	"dn: cn=aliasabuse\nobjectClass: phMailAlias\nmailLocalAddress: abuse@alias.example\nrfc822MailMember: gone@uni.example\n\n"
	"dn: cn=roledaemon\nobjectClass: phMailAlias\nmailLocalAddress: mailer-daemon@role.example\nrfc822MailMember: postmaster@role.example\n\n"
	"dn: cn=dept,dc=uni\nobjectClass: phMailAlias\ncn: dept\nmailLocalAddress: @later.example\nrfc822MailMember: anna@uni.example\n";

static int setup(void **state)
{
	return world_setup(state, people);
}

enum { GUEST, LOGGED_IN, NO_RELAYHOST }; // who asks; NO_RELAYHOST is logged in too

static struct recipient_verdict decide(struct world *world, const char *address, int who)
{
	struct addr addr;
	struct recipient_verdict verdict;
	char path[600];
	snprintf(path, sizeof path, "<%s>", address);
	struct str rest = str_of_c(path);
	if (addr_parse_path(world->arena, &rest, ADDR_UTF8 | ADDR_ALLOW_POSTMASTER | ADDR_LONG_LOCAL, &addr) != ADDR_OK)
		fail_msg("%s is no address", address);
	struct recipient_query query = {.recipient = &addr, .authenticated = who != GUEST, .delimiters = STR("+"),
		.relayhost = who == NO_RELAYHOST ? STR_NONE : STR("smart.example:25"), .default_domain = STR("uni.example"),
		.lists = RECIPIENT_LISTS_ALL};
	recipient_decide(world->directory, &query, world->arena, &verdict);
	return verdict;
}

// "address@host detail list forwarder" of all targets, ";" between them.
static struct str describe_targets(struct world *world, const struct recipient_verdict *verdict)
{
	struct buf b;
	buf_init(&b, 1 << 20);
	for (size_t i = 0; i < verdict->n_targets; i++) {
		const struct recipient_target *t = &verdict->targets[i];
		buf_printf(&b, "%s%.*s %.*s", i ? ";" : "", STR_FMT(t->address->text), STR_FMT(t->host));
		if (t->detail.n)
			buf_printf(&b, " +%.*s", STR_FMT(t->detail));
		if (t->list.n)
			buf_printf(&b, " list=%.*s", STR_FMT(t->list));
		if (t->forwarder.n)
			buf_printf(&b, " by=%.*s", STR_FMT(t->forwarder));
	}
	struct str text = arena_dup(world->arena, buf_str(&b));
	buf_fini(&b);
	return text;
}

static bool has_rule(const struct recipient_verdict *verdict, const char *rule)
{
	for (size_t i = 0; i < verdict->n_reasons; i++)
		if (strcmp(verdict->reasons[i].rule, rule) == 0)
			return true;
	return false;
}

#define ANNA "anna@uni.example mb1.uni.example"

static const struct row {
	const char *address;
	int who;
	enum recipient_outcome outcome;
	int code;
	const char *enhanced;
	const char *targets;
	const char *rule; // one that must be among the reasons
} rows[] = {
	{"anna@uni.example", GUEST, RECIPIENT_DELIVER, 250, "2.1.5", ANNA, "mailbox"},
	{"ANNA.berg@Uni.Example.", GUEST, RECIPIENT_DELIVER, 250, "2.1.5", ANNA, "host"},
	// what a domain's status says holds for all in it
	{"x@shut.example", GUEST, RECIPIENT_REFUSE, 550, "5.2.1", "", "status"},
	{"nobody@shut.example", GUEST, RECIPIENT_REFUSE, 550, "5.2.1", "", "status"},
	{"y@uni.example", GUEST, RECIPIENT_EXPAND, 250, "2.1.5", ANNA, "alias"},
	{"both@uni.example", GUEST, RECIPIENT_EXPAND, 250, "2.1.5", ANNA, "status"},
	{"x@wait.example", GUEST, RECIPIENT_DEFER, 450, "4.2.1", "", "status"},
	{"soon@uni.example", GUEST, RECIPIENT_DEFER, 450, "4.2.1", "", "status"},
	// a forward to an entry
	{"dn@uni.example", GUEST, RECIPIENT_FORWARD, 250, "2.1.5",
		"dn@uni.example mb1.uni.example;x@else.example smart.example:25 by=dn@uni.example;" ANNA " by=dn@uni.example", "keep copy"},
	{"dead@uni.example", GUEST, RECIPIENT_REFUSE, 550, "5.1.1", "", "unknown member"},
	{"anna+Lists@uni.example", GUEST, RECIPIENT_DELIVER, 250, "2.1.5", ANNA " +Lists", "detail"},
	{"c++@uni.example", GUEST, RECIPIENT_DELIVER, 250, "2.1.5", "c++@uni.example mb1.uni.example", "mailbox"}, // whole before detail
	{"anna-x@uni.example", GUEST, RECIPIENT_REFUSE, 550, "5.1.1", "", "unknown user"}, // "-" is no delimiter here
	{"anna_x-y@all.example", GUEST, RECIPIENT_DELIVER, 250, "2.1.5", ANNA " +x-y", "detail"}, // the domain's own set
	{"anna@alias.example", GUEST, RECIPIENT_DELIVER, 250, "2.1.5", ANNA, "alias domain"},
	{"c++-x@all.example", GUEST, RECIPIENT_EXPAND, 250, "2.1.5", "c++@uni.example mb1.uni.example +x", "catch-all"}, // its - is not uni's
	{"anna.berg+x@all.example", GUEST, RECIPIENT_EXPAND, 250, "2.1.5", ANNA " +x", "catch-all"},
	{"nobody-x@all.example", GUEST, RECIPIENT_REFUSE, 550, "5.1.1", "", "unknown user"},
	{"anna@ghost.example", GUEST, RECIPIENT_DEFER, 451, "4.3.0", "", "bad domain"}, // a typo bounces nobody's mail
	{"anna@ghost.example", LOGGED_IN, RECIPIENT_DEFER, 451, "4.3.0", "", "bad domain"},
	{"activ@alias.example", GUEST, RECIPIENT_DEFER, 450, "4.2.1", "", "bad status"},
	{"activ+x@alias.example", GUEST, RECIPIENT_DEFER, 450, "4.2.1", "", "detail"}, // of the alias domain alone, with a detail
	{"owner-only@alias.example", GUEST, RECIPIENT_EXPAND, 250, "2.1.5", ANNA, "list owner"},
	{"only-request@alias.example", GUEST, RECIPIENT_EXPAND, 250, "2.1.5", ANNA, "list request"},
	{"anna@loop1.example", GUEST, RECIPIENT_DEFER, 451, "4.3.0", "", "loop"},
	{"j\xc3\xbcrgen@xn--bcher-kva.example", GUEST, RECIPIENT_DELIVER, 250, "2.1.5", "intl@uni.example mb1.uni.example", "mailbox"}, // idn-case
	{"nobody@uni.example", GUEST, RECIPIENT_REFUSE, 550, "5.1.1", "", "unknown user"},
	{"nobody@uni.example", LOGGED_IN, RECIPIENT_REFUSE, 550, "5.1.1", "", "unknown user"},
	{"x@later.example", GUEST, RECIPIENT_EXPAND, 250, "2.1.5", ANNA, "alias"}, // mailLocalAddress: @domain
	{"anna@all.example", GUEST, RECIPIENT_DELIVER, 250, "2.1.5", ANNA, "mailbox"},
	{"bob@all.example", GUEST, RECIPIENT_EXPAND, 250, "2.1.5", "bob@else.example smart.example:25 by=bob@uni.example", "catch-all"},
	{"nobody@all.example", GUEST, RECIPIENT_REFUSE, 550, "5.1.1", "", "catch-all"},
	// aliases, forwards, groups
	{"info@uni.example", GUEST, RECIPIENT_EXPAND, 250, "2.1.5", ANNA ";ext@else.example smart.example:25", "alias"},
	{"info@uni.example", NO_RELAYHOST, RECIPIENT_EXPAND, 250, "2.1.5", ANNA, "no relayhost"},
	{"ring1@uni.example", GUEST, RECIPIENT_REFUSE, 550, "5.4.6", "", "loop"}, // cycle
	{"half@uni.example", GUEST, RECIPIENT_EXPAND, 250, "2.1.5", ANNA, "unknown user"},
	{"doubt@uni.example", GUEST, RECIPIENT_DEFER, 451, "4.3.0", "", "ambiguous"},
	{"bob@uni.example", GUEST, RECIPIENT_FORWARD, 250, "2.1.5", "bob@else.example smart.example:25 by=bob@uni.example", "forward"},
	{"bob@uni.example", NO_RELAYHOST, RECIPIENT_REFUSE, 550, "5.7.1", "", "no relayhost"},
	{"keep@uni.example", GUEST, RECIPIENT_FORWARD, 250, "2.1.5",
		"keep@uni.example mb1.uni.example;" ANNA " by=keep@uni.example", "keep copy"},
	{"self@uni.example", GUEST, RECIPIENT_FORWARD, 250, "2.1.5", "self@uni.example mb1.uni.example by=self@uni.example", "loop"},
	{"ping@uni.example", GUEST, RECIPIENT_FORWARD, 250, "2.1.5", "ping@uni.example mb1.uni.example by=pong@uni.example", "loop"},
	{"moved@uni.example", GUEST, RECIPIENT_EXPAND, 250, "2.1.5", ANNA, "routing address"},
	{"staff@uni.example", GUEST, RECIPIENT_EXPAND, 250, "2.1.5",
		ANNA ";hold@uni.example mb1.uni.example;lost@uni.example evil.example;guest@else.example smart.example:25", "unknown member"},
	{"news@uni.example", GUEST, RECIPIENT_EXPAND, 250, "2.1.5", ANNA " list=news@uni.example", "owner sender"},
	{"empty@uni.example", GUEST, RECIPIENT_REFUSE, 550, "5.2.4", "", "no members"},
	// doubts
	{"twin@uni.example", GUEST, RECIPIENT_DEFER, 451, "4.3.0", "", "ambiguous"},
	{"lost@uni.example", GUEST, RECIPIENT_DEFER, 451, "4.3.0", "", "unknown host"}, // host-allow
	{"noend@uni.example", GUEST, RECIPIENT_DEFER, 451, "4.3.0", "", "unknown host"},
	{"nohost@uni.example", GUEST, RECIPIENT_DEFER, 451, "4.3.0", "", "no host"},
	{"twohosts@uni.example", GUEST, RECIPIENT_DEFER, 451, "4.3.0", "", "no host"},
	{"noid@uni.example", GUEST, RECIPIENT_DEFER, 451, "4.3.0", "", "no mailbox id"},
	{"hold@uni.example", GUEST, RECIPIENT_DEFER, 450, "4.2.1", "", "status"},
	{"off@uni.example", GUEST, RECIPIENT_REFUSE, 550, "5.2.1", "", "status"},
	{"old@uni.example", GUEST, RECIPIENT_REFUSE, 550, "5.2.1", "", "expired"},
	// outside
	{"x@else.example", GUEST, RECIPIENT_REFUSE, 550, "5.7.1", "", "relay refused"},
	{"x@else.example", LOGGED_IN, RECIPIENT_RELAY, 250, "2.1.5", "x@else.example smart.example:25", "outside"},
	{"x@else.example", NO_RELAYHOST, RECIPIENT_REFUSE, 550, "5.7.1", "", "no relayhost"},
	{"x@sub.uni.example", GUEST, RECIPIENT_REFUSE, 550, "5.7.1", "", "relay refused"}, // subdomains are not ours unless said so
	{"x@relay.example", GUEST, RECIPIENT_RELAY, 250, "2.1.5", "x@relay.example smart.example:25", "domain"},
	{"x@a.b.relay.example", GUEST, RECIPIENT_RELAY, 250, "2.1.5", "x@a.b.relay.example smart.example:25", "domain"},
	{"x@relay.example", NO_RELAYHOST, RECIPIENT_DEFER, 451, "4.3.0", "", "no relayhost"},
	{"here@known.example", GUEST, RECIPIENT_RELAY, 250, "2.1.5", "here@known.example esmtp:[mx.known.example]:25", "other host"},
	{"here+x@known.example", GUEST, RECIPIENT_RELAY, 250, "2.1.5", "here+x@known.example esmtp:[mx.known.example]:25", "other host"},
	{"gone@known.example", GUEST, RECIPIENT_REFUSE, 550, "5.1.1", "", "unknown user"}, // backscatter
	{"postmaster@known.example", GUEST, RECIPIENT_RELAY, 250, "2.1.5", "postmaster@known.example smart.example:25", "outside"},
	{"abuse@known.example", GUEST, RECIPIENT_RELAY, 250, "2.1.5", "abuse@known.example smart.example:25", "outside"},
	{"anna+x@backup.example", GUEST, RECIPIENT_EXPAND, 250, "2.1.5", ANNA, "detail"},
	{"gone@backup.example", GUEST, RECIPIENT_DEFER, 450, "4.1.1", "", "unknown user"},
	{"x@half.example", GUEST, RECIPIENT_RELAY, 250, "2.1.5", "x@half.example smart.example:25", "unknown user"},
	{"x@slip.example", GUEST, RECIPIENT_DEFER, 451, "4.3.0", "", "unknown user"},
	{"x@slip2.example", GUEST, RECIPIENT_DEFER, 451, "4.3.0", "", "unknown user"},
	{"x@nobody.example", GUEST, RECIPIENT_DEFER, 451, "4.3.0", "", "unknown user"},
	// THREATS: addresses
	{"u%evil@uni.example", GUEST, RECIPIENT_REFUSE, 550, "5.1.1", "", "unknown user"},      // pct
	{"u%evil.example@relay.example", GUEST, RECIPIENT_REFUSE, 550, "5.7.1", "", "old form"}, // pct
	{"evil!u@uni.example", GUEST, RECIPIENT_REFUSE, 550, "5.1.1", "", "unknown user"},      // bang
	{"\"u@evil.example\"@relay.example", GUEST, RECIPIENT_REFUSE, 550, "5.7.1", "", "old form"},
	{"@uni.example:u@evil.example", GUEST, RECIPIENT_REFUSE, 550, "5.7.1", "", "route dropped"}, // srcroute
	{"@evil.example:anna@uni.example", GUEST, RECIPIENT_DELIVER, 250, "2.1.5", ANNA, "route dropped"},
	{"\"\"@uni.example", GUEST, RECIPIENT_REFUSE, 550, "5.1.1", "", "unknown user"}, // empty-lp
	{"|cmd@uni.example", GUEST, RECIPIENT_REFUSE, 550, "5.1.1", "", "unknown user"}, // shell-lp
	{"u@[127.0.0.1]", GUEST, RECIPIENT_REFUSE, 550, "5.1.2", "", "literal"},         // literal-ip
	{"u@[IPv6:::1]", LOGGED_IN, RECIPIENT_REFUSE, 550, "5.1.2", "", "literal"},
	{"*@uni.example", GUEST, RECIPIENT_REFUSE, 550, "5.1.1", "", "unknown user"}, // ldap-star
	{"anna+../../x@uni.example", GUEST, RECIPIENT_DELIVER, 250, "2.1.5", ANNA " +../../x", "detail"}, // plus-path: data, no path
	{"=?utf-8?q?=40evil?=@uni.example", GUEST, RECIPIENT_REFUSE, 550, "5.1.1", "", "unknown user"}, // encword-lp
	// postmaster and roles
	{"postmaster", GUEST, RECIPIENT_EXPAND, 250, "2.1.5", ANNA, "postmaster"},
	{"PostMaster@uni.example", GUEST, RECIPIENT_EXPAND, 250, "2.1.5", ANNA, "alias address"},
	{"postmaster@later.example", GUEST, RECIPIENT_EXPAND, 250, "2.1.5", ANNA, "alias"},
	{"postmaster@all.example", GUEST, RECIPIENT_EXPAND, 250, "2.1.5", ANNA, "postmaster"},
	{"abuse@uni.example", GUEST, RECIPIENT_EXPAND, 250, "2.1.5", ANNA, "role"},
	{"www@uni.example", GUEST, RECIPIENT_EXPAND, 250, "2.1.5", ANNA, "role"},
	// whom it names is disabled, or gone: somebody must read it all the same
	{"postmaster@role.example", GUEST, RECIPIENT_EXPAND, 250, "2.1.5", ANNA, "postmaster"},
	{"Abuse@role.example", GUEST, RECIPIENT_EXPAND, 250, "2.1.5", ANNA, "postmaster"},
	{"security@role.example", GUEST, RECIPIENT_EXPAND, 250, "2.1.5", ANNA, "role"},
	{"mailer-daemon@role.example", GUEST, RECIPIENT_EXPAND, 250, "2.1.5", ANNA, "postmaster"}, // an alias ends as postmaster does
	{"abuse@alias.example", GUEST, RECIPIENT_EXPAND, 250, "2.1.5", ANNA, "postmaster"},
	{"owner-list@role.example", GUEST, RECIPIENT_EXPAND, 250, "2.1.5", ANNA, "postmaster"},
	{"list@lone.example", GUEST, RECIPIENT_REFUSE, 550, "5.2.4", "", "status"}, // a list is no alias
	{"info@role.example", GUEST, RECIPIENT_REFUSE, 550, "5.1.1", "", "unknown user"},
};

static void check_row(struct world *world, const struct row *row)
{
	struct recipient_verdict v = decide(world, row->address, row->who);
	struct str targets = describe_targets(world, &v);
	if (v.outcome != row->outcome || v.code != row->code || !str_eq(v.enhanced, str_of_c(row->enhanced)) ||
		!str_eq(targets, str_of_c(row->targets)) || !has_rule(&v, row->rule)) {
		for (size_t i = 0; i < v.n_reasons; i++)
			print_error("  %s: %.*s %s=%.*s\n", v.reasons[i].rule, STR_FMT(v.reasons[i].entry), v.reasons[i].attribute,
				STR_FMT(v.reasons[i].value));
		fail_msg("%s (%d): %s %d %.*s, targets \"%.*s\"", row->address, row->who, recipient_outcome_name(v.outcome), v.code,
			STR_FMT(v.enhanced), STR_FMT(targets));
	}
}

static void test_rows(void **state)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		check_row(*state, &rows[i]);
}

// Threats ldap-down and lag: from a shadow that is not complete, or not fresh, no row may be a 5xx; what is known is still delivered.
static void test_never_5xx_in_doubt(void **state)
{
	struct world *world = *state;
	directory_memory_set_status(world->memory, &(struct directory_status){.version = 5, .complete = true, .fresh = false});
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct recipient_verdict v = decide(world, rows[i].address, rows[i].who);
		if (v.outcome == RECIPIENT_REFUSE)
			fail_msg("%s: %d from a stale shadow", rows[i].address, v.code);
		if (rows[i].outcome == RECIPIENT_DELIVER)
			assert_int_equal(v.outcome, RECIPIENT_DELIVER);
		assert_int_equal(v.shadow.version, 5);
	}
	struct recipient_verdict v = decide(world, "nobody@uni.example", GUEST);
	assert_int_equal(v.code, 451);
	assert_true(str_eq(v.enhanced, STR("4.3.0")));
	assert_true(has_rule(&v, "stale"));
	directory_memory_set_status(world->memory, &(struct directory_status){.complete = false});
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		assert_int_equal(decide(world, rows[i].address, rows[i].who).code, 451);
}

// Neither the domain nor the default domain has a postmaster, nor has the domain an owner: all that leads there waits.
static void test_nobody_reads_it(void **state)
{
	static const char *const to[] = {"postmaster@lone.example", "abuse@lone.example", "mailer-daemon@lone.example", "second@lone.example",
		"noc@lone.example", "owner-list@lone.example", "list-request@lone.example"};
	struct world *world = *state;
	struct addr addr;
	struct recipient_verdict v;
	for (size_t i = 0; i < sizeof to / sizeof *to; i++) {
		assert_int_equal(addr_parse(world->arena, str_of_c(to[i]), 0, &addr), ADDR_OK);
		struct recipient_query query = {.recipient = &addr, .default_domain = STR("lone.example")};
		recipient_decide(world->directory, &query, world->arena, &v);
		if (v.code != 451 || !has_rule(&v, "no postmaster"))
			fail_msg("%s: %d %.*s", to[i], v.code, STR_FMT(v.text));
		query.lists = RECIPIENT_LISTS_ALL;
		recipient_decide(world->directory, &query, world->arena, &v);
		assert_int_equal(v.code, 451);
	}
}

static void test_reasons(void **state)
{
	struct recipient_verdict v = decide(*state, "Anna.Berg+x@alias.example", GUEST);
	static const struct {
		const char *rule, *entry, *attribute, *value;
	} expected[] = {
		{"domain", "associatedDomain=alias.example,dc=uni", "phDomainType", "alias"},
		{"alias domain", "associatedDomain=alias.example,dc=uni", "phDomainAliasOf", "uni.example"},
		{"domain", "associatedDomain=uni.example,dc=uni", "phDomainType", "local"},
		{"mailbox", "uid=anna,dc=uni", "mailLocalAddress", "Anna.Berg@uni.example"},
		{"host", "cn=mb1,dc=uni", "phHostEndpoint", "lmtp=inet:192.0.2.1:24"},
		{"detail", "associatedDomain=uni.example,dc=uni", "", "x"},
	};
	assert_int_equal(v.n_reasons, sizeof expected / sizeof *expected);
	for (size_t i = 0; i < v.n_reasons; i++) {
		assert_string_equal(v.reasons[i].rule, expected[i].rule);
		assert_true(str_eq(v.reasons[i].entry, str_of_c(expected[i].entry)));
		assert_string_equal(v.reasons[i].attribute, expected[i].attribute);
		assert_true(str_eq(v.reasons[i].value, str_of_c(expected[i].value)));
	}
	assert_int_equal(v.targets[0].mailbox_id.b[15], 0x0a);
}

// --- Threat cycle: large and nested groups ---

static struct directory *groups(unsigned n_groups, unsigned members_each)
{
	struct buf ldif;
	struct err err;
	buf_init(&ldif, 64 << 20);
	buf_add_c(&ldif, "dn: dc=d\nobjectClass: phMailDomain\nassociatedDomain: d.example\nphDomainType: local\n\n"
			 "dn: cn=h\nobjectClass: phMailHost\ncn: h\nphHostEndpoint: lmtp=inet:h:24\n\n");
	for (unsigned g = 0; g < n_groups; g++) {
		buf_printf(&ldif, "dn: cn=g%u\nobjectClass: phMailGroup\ncn: g\nmail: g%u@d.example\nmember: cn=g%u\nmember: cn=g%u\n", g, g,
			(g + 1) % n_groups, (g * 7 + 3) % n_groups);
		for (unsigned m = 0; m < members_each; m++)
			buf_printf(&ldif, "member: uid=u%u\n", g * members_each + m);
		for (unsigned m = 0; m < members_each; m++)
			buf_printf(&ldif, "\ndn: uid=u%u\nobjectClass: phMailUser\nmail: u%u@d.example\nmailHost: h\nphMailboxId: %032x\n",
				g * members_each + m, g * members_each + m, g * members_each + m + 1);
		buf_add_c(&ldif, "\n");
	}
	assert_false(ldif.overflow);
	struct directory *directory = directory_memory_new(buf_str(&ldif), NULL, &err);
	assert_non_null(directory);
	buf_fini(&ldif);
	return directory;
}

static struct recipient_verdict decide_group(struct directory *directory, struct arena *arena, size_t entries_max)
{
	struct addr addr;
	struct recipient_verdict verdict;
	assert_int_equal(addr_parse(arena, STR("g0@d.example"), 0, &addr), ADDR_OK);
	struct recipient_query query = {.recipient = &addr, .entries_max = entries_max, .lists = RECIPIENT_LISTS_ALL};
	recipient_decide(directory, &query, arena, &verdict);
	return verdict;
}

static void test_cycle_of_groups(void **state)
{
	(void)state;
	enum { GROUPS = 40, EACH = 20 };
	struct directory *directory = groups(GROUPS, EACH);
	struct arena *arena = arena_new(64 << 20);
	struct recipient_verdict v = decide_group(directory, arena, RECIPIENT_ENTRIES_FIBER);
	assert_int_equal(v.outcome, RECIPIENT_EXPAND);
	assert_int_equal(v.n_targets, GROUPS * EACH); // one copy each
	arena_free(&arena);
	directory_close(&directory);
}

// An entry that is larger than an entry may be: it is somebody all the same, and nobody is left out silently.
static void test_too_large_is_a_doubt(void **state)
{
	(void)state;
	enum { MEMBERS = 130000 }; // 18 MB of addresses
	struct buf ldif;
	struct err err;
	struct addr addr;
	struct recipient_verdict v;
	const char *domain = "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeee.ffffffffffgggggggggghhhhhhhhhhiiiiiiiiiijjjjjjjjjj.kkkkkkkkkk.example";
	buf_init(&ldif, 64 << 20);
	buf_add_c(&ldif, "dn: dc=d\nobjectClass: phMailDomain\nassociatedDomain: d.example\nphDomainType: local\n\n"
			 "dn: cn=outer\nobjectClass: phMailGroup\nmail: outer@d.example\nrfc822MailMember: all@d.example\n\n"
			 "dn: cn=posters\nobjectClass: phMailGroup\nmail: posters@d.example\nphListPostPolicy: members\nmember: cn=all\n\n"
			 "dn: cn=all\nobjectClass: phMailGroup\nmail: all@d.example\n");
	for (unsigned i = 0; i < MEMBERS; i++)
		buf_printf(&ldif, "rfc822MailMember: m%06u@%s\n", i, domain);
	assert_false(ldif.overflow);
	struct directory *directory = directory_memory_new(buf_str(&ldif), NULL, &err);
	assert_non_null(directory);
	struct arena *arena = arena_new(64 << 20);
	static const char *const asked[] = {"all@d.example", "outer@d.example", "posters@d.example"};
	for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
		assert_int_equal(addr_parse(arena, str_of_c(asked[i]), 0, &addr), ADDR_OK);
		recipient_decide(directory, &(struct recipient_query){.recipient = &addr, .sender = &addr, .entries_max = 1000,
						     .lists = RECIPIENT_LISTS_ALL, .relayhost = STR("r:25")}, arena, &v);
		assert_int_equal(v.code, 451);
		bool said = false;
		for (size_t r = 0; r < v.n_reasons; r++)
			said |= strcmp(v.reasons[r].rule, "too large") == 0;
		assert_true(said);
	}
	buf_fini(&ldif);
	arena_free(&arena);
	directory_close(&directory);
}

static void test_a_hundred_thousand_members(void **state)
{
	(void)state;
	enum { GROUPS = 25, EACH = 4000, MEMBER_BYTES_MAX = 700 };
	struct directory *directory = groups(GROUPS, EACH);
	struct arena *arena = arena_new(256 << 20);
	struct recipient_verdict v = decide_group(directory, arena, RECIPIENT_ENTRIES_FIBER);
	assert_int_equal(v.outcome, RECIPIENT_DEFER); // not on a scheduler thread
	assert_int_equal(v.code, 451);
	assert_true(v.too_big);
	arena_reset(arena);
	v = decide_group(directory, arena, RECIPIENT_ENTRIES_MAX);
	assert_int_equal(v.outcome, RECIPIENT_EXPAND);
	assert_int_equal(v.n_targets, GROUPS * EACH);
	assert_true(v.n_reasons <= RECIPIENT_REASONS_MAX);
	assert_true(v.held_bytes / v.n_targets <= MEMBER_BYTES_MAX);
	arena_free(&arena);
	// No room for the results: all or nothing.
	arena = arena_new(1 << 20);
	v = decide_group(directory, arena, RECIPIENT_ENTRIES_MAX);
	assert_int_equal(v.outcome, RECIPIENT_DEFER);
	assert_int_equal(v.n_targets, 0);
	arena_free(&arena);
	directory_close(&directory);
}

static void test_too_deep(void **state)
{
	(void)state;
	struct directory *directory = groups(RECIPIENT_DEPTH_MAX * 100, 0); // the second member of each jumps far
	struct arena *arena = arena_new(64 << 20);
	struct recipient_verdict v = decide_group(directory, arena, RECIPIENT_ENTRIES_MAX);
	assert_int_equal(v.outcome, RECIPIENT_REFUSE);
	assert_int_equal(v.code, 550);
	assert_true(str_eq(v.enhanced, STR("5.4.6")));
	arena_free(&arena);
	directory_close(&directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_rows, setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_never_5xx_in_doubt, setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_nobody_reads_it, setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_reasons, setup, world_teardown),
		cmocka_unit_test(test_cycle_of_groups),
		cmocka_unit_test(test_too_large_is_a_doubt),
		cmocka_unit_test(test_a_hundred_thousand_members),
		cmocka_unit_test(test_too_deep),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
