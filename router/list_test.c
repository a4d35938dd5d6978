// SPDX-License-Identifier: Apache-2.0
// Lists as tables: who posts, what becomes of it, who runs them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "router/list_answers.h"
#include "router/recipient.h"
#include "test_world.h"

#define USER(name, id) \
	"dn: uid=" name ",dc=uni\nobjectClass: phMailUser\nuid: " name "\nmail: " name "@uni.example\nmailHost: mb1.uni.example\n" \
	"mailLocalAddress: " name ".long@uni.example\nentryUUID: 00000000-0000-0000-0000-0000000000" id "\n"
#define LIST(name) "\ndn: cn=" name ",dc=uni\nobjectClass: phMailGroup\nobjectClass: phMailList\ncn: " name "\nmail: " name "@uni.example\n"
#define GROUP(name) "\ndn: cn=" name ",dc=uni\nobjectClass: phMailGroup\ncn: " name "\nmail: " name "@uni.example\n"

static const char world_ldif[] =
	"dn: dc=uni\nobjectClass: phMailDomain\nassociatedDomain: uni.example\nphDomainType: local\n\n"
	"dn: dc=alias\nobjectClass: phMailDomain\nassociatedDomain: alias.example\nphDomainType: alias\nphDomainAliasOf: uni.example\n\n"
	"dn: dc=twice\nobjectClass: phMailDomain\nassociatedDomain: twice.example\nphDomainType: alias\nphDomainAliasOf: alias.example\n"
	"phIncludeSubdomains: TRUE\n\n"
	"dn: dc=under\nobjectClass: phMailDomain\nassociatedDomain: under.example\nphDomainType: local\nphSubaddressDelimiter: _\n\n"
	"dn: cn=under,dc=uni\nobjectClass: phMailUser\nmail: uma@under.example\nmailHost: mb1.uni.example\n"
	"entryUUID: 00000000-0000-0000-0000-0000000000ee\n\n"
	"dn: dc=role\nobjectClass: phMailDomain\nassociatedDomain: role.example\nphDomainType: local\n\n"
	"dn: cn=pm\nobjectClass: phMailGroup\nobjectClass: phMailList\ncn: pm\nmail: postmaster@role.example\nmember: uid=anna,dc=uni\n"
	"phListPostPolicy: nobody\n\n"
	"dn: cn=abuse\nobjectClass: phMailGroup\nobjectClass: phMailList\ncn: abuse\nmail: abuse@role.example\nmember: uid=bob,dc=uni\n"
	"phListPostPolicy: members\n\n"
	"dn: cn=noc\nobjectClass: phMailGroup\nobjectClass: phMailList\ncn: noc\nmail: noc@role.example\nmember: uid=bob,dc=uni\n"
	"phListPostPolicy: moderated\nphListModeratorAddress: gone@uni.example\n\n"
	"dn: cn=mb1,dc=uni\nobjectClass: phMailHost\ncn: mb1.uni.example\nphHostEndpoint: lmtp=inet:192.0.2.1:24\n\n"
	USER("anna", "0a") "\n" USER("bob", "0b") "\n" USER("carl", "0c") "phForwardAddress: closed@uni.example\n\n" USER("postmaster", "0e")
	LIST("open") "member: uid=anna,dc=uni\nmember: uid=bob,dc=uni\n"
	LIST("closed") "member: UID=Anna, dc=uni\nmember: cn=inner,dc=uni\nrfc822MailMember: x@else.example\nphListPostPolicy: members\n"
	"phListAllowedSender: friend@else.example\nphListAllowedSender: @good.example\nphListDeniedSender: bob@uni.example\n"
	"phListOwnerAddress: bob@uni.example\n"
	LIST("ours") "member: uid=anna,dc=uni\nphListPostPolicy: internal\nowner: uid=bob,dc=uni\nphListErrorsTo: errors@uni.example\n"
	LIST("named") "member: uid=anna,dc=uni\nphListAllowedSenderDN: cn=inner,dc=uni\n"
	LIST("board") "member: uid=anna,dc=uni\nphListPostPolicy: Moderated\nphListModerator: uid=bob,dc=uni\n"
	"phListModeratorAddress: mod@else.example\n"
	LIST("left") "member: uid=anna,dc=uni\nphListPostPolicy: moderated\n"
	LIST("archive") "member: uid=anna,dc=uni\nphListPostPolicy: nobody\nphListAllowedSender: anna@uni.example\n"
	LIST("delimited") "member: cn=under,dc=uni\nphListPostPolicy: members\n"
	LIST("typo") "member: uid=anna,dc=uni\nphListPostPolicy: everyone\n"
	LIST("login") "member: uid=anna,dc=uni\nphListRequireAuth: TRUE\n"
	LIST("silent") "member: uid=anna,dc=uni\nmember: uid=bob,dc=uni\nphListSuppressSender: TRUE\nphListRequestAddress: bob@uni.example\n"
	LIST("outer") "member: cn=open,dc=uni\nmember: uid=anna,dc=uni\n"
	LIST("one") "member: uid=ring1,dc=uni\n" LIST("two") "member: uid=ring2,dc=uni\nmember: uid=anna,dc=uni\n"
	"\n" USER("ring1", "1a") "phForwardAddress: two@uni.example\n\n" USER("ring2", "1b") "phForwardAddress: one@uni.example\n"
	LIST("byurl") "member: uid=anna,dc=uni\nphListAllowedSenderURL: ldap:///dc=uni??one?(uid=b*)\nphListDeniedSenderURL: ldap:///uid=bb,dc=uni\n\n"
	USER("bb", "2d") LIST("badurl") "member: uid=anna,dc=uni\nphListAllowedSenderURL: ldap:///dc=uni??one?(ou=x)\n"
	"phListAllowedSender: friend@else.example\n" LIST("baddeny") "member: uid=anna,dc=uni\nphListDeniedSenderURL: ldap://x/dc=uni\n"
	LIST("notthem") "member: uid=anna,dc=uni\nphListDeniedSenderDN: cn=deep,dc=uni\n"
	// nobody is behind them: no member, members that are gone or turned off, a URL that finds nobody, only lists of these in it
	LIST("empty") LIST("ghosts") "member: uid=gone,dc=uni\nrfc822MailMember: gone@uni.example\n" LIST("off") "member: uid=turned,dc=uni\n\n"
	USER("turned", "1d") "phStatus: disabled\n" LIST("nobody") "memberURL: ldap:///dc=uni??one?(mail=*@nowhere.example)\n"
	LIST("hollow") "member: cn=empty,dc=uni\nmember: cn=hollow,dc=uni\nmember: cn=ghosts,dc=uni\n" LIST("mixed") "member: cn=empty,dc=uni\n"
	"member: uid=anna,dc=uni\n" GROUP("husk") "member: cn=empty,dc=uni\nmember: uid=bob,dc=uni\n"
	LIST("maybe") "member: uid=gone,dc=uni\nrfc822MailMember: twin@role.example\n"
	GROUP("t1") "mailLocalAddress: twin@role.example\n" GROUP("t2") "mailLocalAddress: twin@role.example\n"
	LIST("found") "member: uid=gone,dc=uni\nmemberURL: ldap:///dc=uni??one?(uid=anna)\n"
	LIST("unfound") "member: uid=gone,dc=uni\nmemberURL: ldap:///dc=uni??one?(uid=nobody)\n"
	LIST("walled") "rfc822MailMember: x@walled.example\n\ndn: cn=w,dc=uni\nobjectClass: phMailRoute\ncn: w\nphRouteKey: walled.example\n"
	"phRouteTarget: error:5.7.1:550 we send nothing there\n"
	GROUP("toghosts") "member: cn=ghosts,dc=uni\n" GROUP("nolist") "member: uid=gone,dc=uni\n"
	LIST("loose") "member: uid=carl,dc=uni\nmember: uid=anna,dc=uni\n"
	LIST("dynamic") "memberURL: ldap:///dc=uni??one?(&(mail=*@uni.example)(objectClass=phMailUser))\nphListPostPolicy: members\n"
	LIST("bad") "memberURL: ldap:///dc=uni??sub?(departmentNumber=5)\nmember: uid=anna,dc=uni\n"
	// lists in lists, each with a policy of its own
	LIST("umbrella") "member: uid=anna,dc=uni\nmember: cn=closed,dc=uni\nmember: cn=archive,dc=uni\nmember: cn=child,dc=uni\n"
	"rfc822MailMember: kid@uni.example\nmember: cn=board,dc=uni\nmember: cn=kin,dc=uni\n"
	LIST("child") "rfc822MailMember: child@else.example\nphListPostPolicy: listed\nphListAllowedSenderDN: CN=Umbrella, dc=uni\n"
	LIST("kid") "rfc822MailMember: kid@else.example\nphListPostPolicy: listed\nphListAllowedSender: umbrella@uni.example\n"
	LIST("grandkid") "rfc822MailMember: grandkid@else.example\nphListAllowedSenderDN: cn=parents,dc=uni\n"
	GROUP("kin") "member: cn=grandkid,dc=uni\n" GROUP("parents") "member: cn=umbrella,dc=uni\n"
	LIST("barred") "rfc822MailMember: b@else.example\nphListDeniedSender: ringed@uni.example\n"
	LIST("ringed") "member: cn=barred,dc=uni\nmember: uid=anna,dc=uni\n"
	LIST("sly") "member: uid=sly,dc=uni\n\n" USER("sly", "1c") "phForwardAddress: child2@uni.example\n"
	LIST("child2") "rfc822MailMember: c2@else.example\nphListAllowedSenderDN: cn=sly,dc=uni\n"
	LIST("vault") "member: uid=anna,dc=uni\nphMaxMessageBytes: 1000\n" LIST("hall") "member: cn=vault,dc=uni\nmember: uid=bob,dc=uni\n"
	// moderators: gone, with and without an owner; the list itself; each other's
	LIST("deadmod") "member: uid=anna,dc=uni\nphListPostPolicy: moderated\nphListModerator: uid=gone,dc=uni\nowner: uid=bob,dc=uni\n"
	LIST("nomod") "member: uid=anna,dc=uni\nphListPostPolicy: moderated\nphListModeratorAddress: gone@uni.example\n"
	LIST("selfmod") "member: uid=anna,dc=uni\nphListPostPolicy: moderated\nphListModeratorAddress: selfmod@uni.example\n"
	LIST("mod1") "member: uid=anna,dc=uni\nphListPostPolicy: moderated\nphListModerator: cn=mod2,dc=uni\n"
	LIST("mod2") "member: uid=bob,dc=uni\nphListPostPolicy: moderated\nphListModerator: cn=mod1,dc=uni\n"
	LIST("orphan") "member: uid=anna,dc=uni\nowner: uid=gone,dc=uni\nphListOwnerAddress: gone@uni.example\n"
	GROUP("byquery") "memberURL: ldap:///dc=uni??one?(uid=anna)\n" GROUP("errors") "member: uid=anna,dc=uni\nphListErrorsTo: e@else.example\n"
	GROUP("inner") "member: cn=deep,dc=uni\n" GROUP("deep") "member: uid=carl,dc=uni\nmember: cn=inner,dc=uni\n"
	GROUP("team") "member: uid=anna,dc=uni\nmember: cn=closed,dc=uni\n"
	"\ndn: cn=help,dc=uni\nobjectClass: phMailAlias\ncn: help\nmailLocalAddress: help@uni.example\nrfc822MailMember: anna@uni.example\n"
	"\ndn: cn=ohelp,dc=uni\nobjectClass: phMailAlias\ncn: ohelp\nmailLocalAddress: owner-help@uni.example\nrfc822MailMember: bob@uni.example\n";

static int setup(void **state)
{
	return world_setup(state, world_ldif);
}

enum { GUEST, LOGGED_IN };

static struct recipient_verdict decide_of(struct world *world, const char *to, const char *sender, int who, enum recipient_lists lists,
	bool moderated, uint64_t bytes)
{
	struct addr recipient, from = addr_null();
	struct recipient_verdict verdict;
	assert_int_equal(addr_parse(world->arena, str_of_c(to), ADDR_UTF8, &recipient), ADDR_OK);
	if (sender && *sender)
		assert_int_equal(addr_parse(world->arena, str_of_c(sender), ADDR_UTF8, &from), ADDR_OK);
	const struct recipient_query query = {.recipient = &recipient, .sender = sender ? &from : NULL, .authenticated = who == LOGGED_IN,
		.delimiters = STR("+"), .relayhost = STR("smart.example:25"), .default_domain = STR("uni.example"), .lists = lists,
		.moderated = moderated, .message_bytes = bytes};
	recipient_decide(world->directory, &query, world->arena, &verdict);
	return verdict;
}

static struct recipient_verdict decide(struct world *world, const char *to, const char *sender, int who, enum recipient_lists lists)
{
	return decide_of(world, to, sender, who, lists, false, 0);
}

// "list:x@…" for a list, "asks:x@…" for its moderators, "550:x@…" for one that refuses, the address of others, " " between them.
static struct str targets_of(struct world *world, const struct recipient_verdict *v)
{
	struct str text = STR("");
	for (size_t i = 0; i < v->n_targets; i++) {
		const struct recipient_target *t = &v->targets[i];
		struct str kind = t->kind != RECIPIENT_LIST ? STR("") : t->refusal.n ? str_upto(t->refusal, 3) : t->moderated ? STR("asks") : STR("list");
		text = arena_printf(world->arena, "%.*s%s%.*s%s%.*s", STR_FMT(text), i ? " " : "", STR_FMT(kind), kind.n ? ":" : "", STR_FMT(t->address->text));
	}
	return text;
}

static bool has_reason(const struct recipient_verdict *v, const char *rule, const char *attribute)
{
	for (size_t i = 0; i < v->n_reasons; i++)
		if (str_eq(str_of_c(v->reasons[i].rule), str_of_c(rule)) && str_eq(str_of_c(v->reasons[i].attribute), str_of_c(attribute)))
			return true;
	return false;
}

struct row {
	const char *to, *sender; // NULL: not known
	int who;
	int code;
	const char *targets, *rule, *attribute;
};

static const struct row at_rcpt[] = {
	{"open@uni.example", "x@else.example", GUEST, 250, "list:open@uni.example", "list", ""},
	{"open@uni.example", NULL, GUEST, 250, "list:open@uni.example", "list", ""},
	{"open+x@uni.example", "x@else.example", GUEST, 250, "list:open@uni.example", "detail", ""},
	// members: by DN in any spelling, by another of his addresses, with a detail, through nested groups that loop, by address
	{"closed@uni.example", "anna@uni.example", GUEST, 250, "list:closed@uni.example", "may post", "member"},
	{"closed@uni.example", "Anna.Long+x@uni.example", GUEST, 250, "list:closed@uni.example", "may post", "member"},
	{"closed@uni.example", "carl@uni.example", GUEST, 250, "list:closed@uni.example", "may post", "member"},
	{"closed@uni.example", "X@else.example", GUEST, 250, "list:closed@uni.example", "may post", "rfc822MailMember"},
	{"closed@uni.example", "anna@alias.example", GUEST, 250, "list:closed@uni.example", "may post", "member"}, // by an alias domain
	{"closed@uni.example", "Anna.long+x@alias.example", GUEST, 250, "list:closed@uni.example", "may post", "member"},
	{"closed@uni.example", "anna@x.twice.example", GUEST, 250, "list:closed@uni.example", "may post", "member"},
	{"delimited@uni.example", "uma_x@under.example", GUEST, 250, "list:delimited@uni.example", "may post", "member"},
	{"delimited@uni.example", "uma+x@under.example", GUEST, 550, "", "may not post", "phListPostPolicy"},
	{"closed@uni.example", "z@alias.example", GUEST, 550, "", "may not post", "phListPostPolicy"},
	{"closed@alias.example", "z@else.example", GUEST, 550, "", "may not post", "phListPostPolicy"},
	// roles: postmaster is reached whatever its list says, others by way of it
	{"postmaster@role.example", "z@else.example", GUEST, 250, "list:postmaster@role.example", "list", ""},
	{"abuse@role.example", "z@else.example", GUEST, 250, "list:postmaster@role.example", "postmaster", ""},
	{"noc@role.example", "z@else.example", GUEST, 250, "list:postmaster@role.example", "no moderator", "phListModerator"},
	{"abuse@role.example", "bob@uni.example", GUEST, 250, "list:abuse@role.example", "list", ""},
	{"closed@uni.example", "postmaster@uni.example", LOGGED_IN, 550, "", "may not post", "phListPostPolicy"},
	{"closed@uni.example", "", GUEST, 550, "", "may not post", "phListPostPolicy"},
	{"closed@uni.example", "friend@else.example", GUEST, 250, "list:closed@uni.example", "may post", "phListAllowedSender"},
	{"closed@uni.example", "any@good.example", GUEST, 250, "list:closed@uni.example", "may post", "phListAllowedSender"},
	{"closed@uni.example", "bob@uni.example", LOGGED_IN, 550, "", "may not post", "phListDeniedSender"},
	{"closed@uni.example", "bob.long@uni.example", LOGGED_IN, 550, "", "may not post", "phListDeniedSender"},
	{"ours@uni.example", "anna@uni.example", GUEST, 550, "", "may not post", "phListPostPolicy"}, // whoever writes our name on it
	{"ours@uni.example", "anna@uni.example", LOGGED_IN, 250, "list:ours@uni.example", "post policy", "phListPostPolicy"},
	{"named@uni.example", "carl@uni.example", GUEST, 250, "list:named@uni.example", "may post", "phListAllowedSenderDN"},
	{"named@uni.example", "anna@uni.example", GUEST, 550, "", "may not post", "phListAllowedSender"},
	// by URL, and by groups that may not; one that cannot be asked lets nobody in whom it may be about
	{"byurl@uni.example", "bob@uni.example", GUEST, 250, "list:byurl@uni.example", "may post", "phListAllowedSenderURL"},
	{"byurl@uni.example", "bb@uni.example", GUEST, 550, "", "may not post", "phListDeniedSenderURL"},
	{"byurl@uni.example", "anna@uni.example", GUEST, 550, "", "may not post", "phListAllowedSender"},
	{"byurl@uni.example", "x@else.example", GUEST, 550, "", "may not post", "phListAllowedSender"},
	{"badurl@uni.example", "bob@uni.example", GUEST, 451, "", "bad member URL", "phListAllowedSenderURL"},
	{"badurl@uni.example", "friend@else.example", GUEST, 250, "list:badurl@uni.example", "may post", "phListAllowedSender"},
	{"baddeny@uni.example", "bob@uni.example", GUEST, 451, "", "bad member URL", "phListDeniedSenderURL"},
	{"notthem@uni.example", "carl@uni.example", GUEST, 550, "", "may not post", "phListDeniedSenderDN"},
	{"notthem@uni.example", "bob@uni.example", GUEST, 250, "list:notthem@uni.example", "list", ""},
	{"empty@uni.example", "x@else.example", GUEST, 550, "", "no members", ""},
	{"ghosts@uni.example", "x@else.example", GUEST, 550, "", "unknown member", "member"},
	{"off@uni.example", "x@else.example", GUEST, 550, "", "status", "phStatus"},
	{"hollow@uni.example", "x@else.example", GUEST, 550, "", "no members", ""},
	{"mixed@uni.example", "x@else.example", GUEST, 250, "list:mixed@uni.example", "list", ""},
	{"walled@uni.example", "x@else.example", GUEST, 550, "", "route", "phRouteTarget"}, // in the words of the route
	{"husk@uni.example", "x@else.example", GUEST, 250, "bob@uni.example", "no members", ""},
	{"maybe@uni.example", "x@else.example", GUEST, 451, "", "ambiguous", ""}, // who it is comes out later
	{"board@uni.example", "anna@uni.example", LOGGED_IN, 250, "asks:board@uni.example", "moderator", "phListModerator"},
	{"board@uni.example", "bob@uni.example", LOGGED_IN, 250, "list:board@uni.example", "may post", "phListModerator"},
	{"deadmod@uni.example", "anna@uni.example", LOGGED_IN, 250, "asks:deadmod@uni.example", "moderator", "owner"},
	{"nomod@uni.example", "anna@uni.example", LOGGED_IN, 451, "", "no moderator", "phListModerator"},
	{"selfmod@uni.example", "anna@uni.example", LOGGED_IN, 451, "", "no moderator", "phListModerator"},
	{"left@uni.example", "anna@uni.example", LOGGED_IN, 451, "", "no members", "phListModerator"},
	{"archive@uni.example", "anna@uni.example", LOGGED_IN, 550, "", "may not post", "phListPostPolicy"},
	{"typo@uni.example", "anna@uni.example", LOGGED_IN, 451, "", "post policy", "phListPostPolicy"},
	{"login@uni.example", "anna@uni.example", GUEST, 550, "", "may not post", "phListRequireAuth"},
	{"login@uni.example", "anna@uni.example", LOGGED_IN, 250, "list:login@uni.example", "list", ""},
	{"dynamic@uni.example", "anna@uni.example", GUEST, 451, "", "may post", "memberURL"}, // whom the URL finds, on a worker
	{"dynamic@uni.example", "z@else.example", GUEST, 550, "", "may not post", "phListPostPolicy"},
	// through an alias or a group the list is asked as well; one that is refused is left out
	{"team@uni.example", "anna@uni.example", GUEST, 250, "anna@uni.example list:closed@uni.example", "may post", "member"},
	{"team@uni.example", "z@else.example", GUEST, 250, "anna@uni.example", "may not post", "phListPostPolicy"},
	{"carl@uni.example", "z@else.example", GUEST, 550, "", "may not post", "phListPostPolicy"},
	// sendmail's owner-x makes an alias a list
	{"help@uni.example", "z@else.example", GUEST, 250, "list:help@uni.example", "list", ""},
	// who runs it
	{"owner-closed@uni.example", "", GUEST, 250, "bob@uni.example", "list owner", "phListOwnerAddress"},
	{"Owner-Ours@uni.example", "z@else.example", GUEST, 250, "bob@uni.example", "list owner", "owner"},
	{"owner-open@uni.example", "", GUEST, 250, "postmaster@uni.example", "list owner", ""},
	// who ran it is gone, or it has only what makes it a list: its reports are read all the same
	{"owner-orphan@uni.example", "", GUEST, 250, "postmaster@uni.example", "postmaster", ""},
	{"orphan-request@uni.example", "z@else.example", GUEST, 250, "postmaster@uni.example", "postmaster", ""},
	{"Owner-orphan@alias.example", "", GUEST, 250, "postmaster@uni.example", "postmaster", ""},
	{"owner-byquery@uni.example", "", GUEST, 250, "postmaster@uni.example", "list owner", ""},
	{"owner-errors@uni.example", "", GUEST, 250, "postmaster@uni.example", "list owner", ""},
	{"owner-help@uni.example", "", GUEST, 250, "bob@uni.example", "alias", "rfc822MailMember"},
	{"silent-request@uni.example", "z@else.example", GUEST, 250, "bob@uni.example", "list request", "phListRequestAddress"},
	{"closed-request@uni.example", "z@else.example", GUEST, 250, "bob@uni.example", "list request", "phListOwnerAddress"},
	{"owner-anna@uni.example", "", GUEST, 550, "", "unknown user", ""},
	{"owner-team@uni.example", "", GUEST, 550, "", "unknown user", ""},
	{"-request@uni.example", "", GUEST, 550, "", "unknown user", ""},
};

static void check_row(struct world *world, const struct row *row)
{
	struct recipient_verdict v = decide(world, row->to, row->sender, row->who, RECIPIENT_LISTS_LATER);
	struct str targets = targets_of(world, &v);
	if (v.code == row->code && str_eq(targets, str_of_c(row->targets)) && has_reason(&v, row->rule, row->attribute))
		return;
	for (size_t i = 0; i < v.n_reasons; i++)
		print_error("  %s: %.*s %s=%.*s\n", v.reasons[i].rule, STR_FMT(v.reasons[i].entry), v.reasons[i].attribute,
			STR_FMT(v.reasons[i].value));
	fail_msg("%s from %s: %d, targets \"%.*s\"", row->to, row->sender ? row->sender : "?", v.code, STR_FMT(targets));
}

static void test_at_rcpt(void **state)
{
	for (size_t i = 0; i < sizeof at_rcpt / sizeof *at_rcpt; i++)
		check_row(*state, &at_rcpt[i]);
}

// That its members are gone is not to say that the list is: the same at RCPT, when it is expanded, and for who asks why.
static void test_nobody_left(void **state)
{
	static const struct {
		const char *to, *enhanced;
	} rows[] = {
		{"empty@uni.example", "5.2.4"}, {"ghosts@uni.example", "5.2.4"}, {"off@uni.example", "5.2.4"}, {"hollow@uni.example", "5.2.4"},
		{"toghosts@uni.example", "5.2.4"}, {"walled@uni.example", "5.7.1"}, {"nolist@uni.example", "5.1.1"}, {"gone@uni.example", "5.1.1"},
	};
	static const enum recipient_lists lists[] = {RECIPIENT_LISTS_LATER, RECIPIENT_LISTS_NOW, RECIPIENT_LISTS_ALL};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		for (size_t k = 0; k < sizeof lists / sizeof *lists; k++) {
			struct recipient_verdict v = decide(*state, rows[i].to, NULL, GUEST, lists[k]);
			if (str_eq(str_of_c(rows[i].to), STR("toghosts@uni.example")) && lists[k] == RECIPIENT_LISTS_NOW)
				continue; // an alias is no list, the one it names is a message of its own
			if (v.code != 550 || !str_eq(v.enhanced, str_of_c(rows[i].enhanced)))
				fail_msg("%s (%d): %d %.*s", rows[i].to, (int)lists[k], v.code, STR_FMT(v.enhanced));
		}
}

static void test_expansion(void **state)
{
	static const struct {
		const char *to, *sender;
		const char *targets, *owner, *list;
	} rows[] = {
		{"open@uni.example", "z@else.example", "anna@uni.example bob@uni.example", "owner-open@uni.example", "open@uni.example"},
		{"open@uni.example", "", "anna@uni.example bob@uni.example", "", "open@uni.example"}, // no report about a report
		{"ours@uni.example", "z@else.example", "anna@uni.example", "errors@uni.example", "ours@uni.example"},
		{"silent@uni.example", "anna+x@twice.example", "bob@uni.example", "owner-silent@uni.example", "silent@uni.example"},
		{"silent@uni.example", "anna+x@uni.example", "bob@uni.example", "owner-silent@uni.example", "silent@uni.example"},
		{"outer@uni.example", "z@else.example", "anna@uni.example bob@uni.example", "owner-outer@uni.example", "outer@uni.example"},
		{"help@uni.example", "z@else.example", "anna@uni.example", "owner-help@uni.example", "help@uni.example"},
		// a member's forward opens no other list to strangers
		{"loose@uni.example", "z@else.example", "anna@uni.example", "owner-loose@uni.example", "loose@uni.example"},
		{"one@uni.example", "z@else.example", "list:two@uni.example", "owner-one@uni.example", "one@uni.example"},
		{"loose@uni.example", "anna@uni.example", "anna@uni.example list:closed@uni.example", "owner-loose@uni.example", "loose@uni.example"},
	};
	struct world *world = *state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct recipient_verdict v = decide(world, rows[i].to, rows[i].sender, GUEST, RECIPIENT_LISTS_NOW);
		struct str targets = targets_of(world, &v);
		if (!v.is_list || !str_eq(targets, str_of_c(rows[i].targets)) || !str_eq(v.owner, str_of_c(rows[i].owner)))
			fail_msg("%s from %s: \"%.*s\", owner \"%.*s\"", rows[i].to, rows[i].sender, STR_FMT(targets), STR_FMT(v.owner));
		for (size_t k = 0; k < v.n_targets; k++)
			assert_true(str_eq(v.targets[k].list, str_of_c(rows[i].list)));
	}
	// Two lists that lead to each other by forwards: what a list sent makes no more messages.
	struct recipient_verdict v = decide(world, "two@uni.example", "owner-one@uni.example", GUEST, RECIPIENT_LISTS_INLINE);
	assert_true(str_eq(targets_of(world, &v), STR("anna@uni.example")));
	assert_true(has_reason(&v, "loop", ""));
}

// Each list asks for itself who may post, and a list that is named there speaks for whoever may post to it.
static void test_lists_in_lists(void **state)
{
	static const struct {
		const char *to, *sender, *targets;
	} rows[] = {
		{"umbrella@uni.example", "z@else.example", "anna@uni.example 550:closed@uni.example 550:archive@uni.example "
							    "asks:board@uni.example kid@else.example child@else.example grandkid@else.example"},
		{"umbrella@uni.example", "anna@uni.example", "anna@uni.example 550:archive@uni.example asks:board@uni.example "
							     "kid@else.example x@else.example child@else.example grandkid@else.example"},
		{"ringed@uni.example", "z@else.example", "550:barred@uni.example anna@uni.example"},
		{"sly@uni.example", "z@else.example", ""}, // his forward speaks for nobody
		{"child@uni.example", "z@else.example", "child@else.example"}, // what was accepted is not asked again
	};
	struct world *world = *state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct recipient_verdict v = decide(world, rows[i].to, rows[i].sender, GUEST, RECIPIENT_LISTS_NOW);
		struct str targets = targets_of(world, &v);
		if (!str_eq(targets, str_of_c(rows[i].targets)))
			fail_msg("%s from %s: \"%.*s\"", rows[i].to, rows[i].sender, STR_FMT(targets));
	}
	assert_int_equal(decide(world, "child@uni.example", "z@else.example", GUEST, RECIPIENT_LISTS_LATER).code, 550);
	struct recipient_verdict v = decide(world, "umbrella@uni.example", "z@else.example", GUEST, RECIPIENT_LISTS_ALL);
	assert_true(has_reason(&v, "may not post", "phListPostPolicy"));
	assert_true(has_reason(&v, "may post", "phListAllowedSenderDN"));
	for (size_t i = 0; i < v.n_targets; i++)
		assert_int_equal(v.targets[i].refusal.n, 0);
}

// The moderators' copies are the list's: reports about them are for who runs it, not for who wrote the message.
static void test_moderators(void **state)
{
	static const struct {
		const char *to, *targets, *owner;
		int code;
	} rows[] = {
		{"board@uni.example", "mod@else.example bob@uni.example", "owner-board@uni.example", 250},
		{"deadmod@uni.example", "bob@uni.example", "owner-deadmod@uni.example", 250},
		{"nomod@uni.example", "", "owner-nomod@uni.example", 451},
		{"mod1@uni.example", "", "owner-mod1@uni.example", 451}, // they end
	};
	struct world *world = *state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct recipient_verdict v = decide_of(world, rows[i].to, "z@else.example", GUEST, RECIPIENT_LISTS_INLINE, true, 0);
		struct str targets = targets_of(world, &v);
		if (v.code != rows[i].code || !str_eq(targets, str_of_c(rows[i].targets)) || !str_eq(v.owner, str_of_c(rows[i].owner)))
			fail_msg("%s: %d \"%.*s\", owner \"%.*s\"", rows[i].to, v.code, STR_FMT(targets), STR_FMT(v.owner));
		for (size_t k = 0; k < v.n_targets; k++)
			assert_true(str_eq(v.targets[k].list, str_of_c(rows[i].to)));
	}
	struct recipient_verdict v = decide(world, "board@uni.example", "z@else.example", GUEST, RECIPIENT_LISTS_ALL);
	assert_true(str_eq(targets_of(world, &v), STR("mod@else.example bob@uni.example")));
	assert_true(str_eq(v.owner, STR("owner-board@uni.example")));
}

// phMaxMessageBytes of the list that is the recipient, and of one in it.
static void test_size(void **state)
{
	struct world *world = *state;
	struct recipient_verdict v = decide_of(world, "vault@uni.example", "z@else.example", GUEST, RECIPIENT_LISTS_LATER, false, 1001);
	assert_int_equal(v.code, 552);
	assert_true(str_eq(v.enhanced, STR("5.2.3")));
	assert_true(has_reason(&v, "size limit", "phMaxMessageBytes"));
	v = decide_of(world, "vault@uni.example", "z@else.example", GUEST, RECIPIENT_LISTS_LATER, false, 1000);
	assert_int_equal(v.code, 250);
	assert_int_equal(v.bytes_max, 1000);
	v = decide_of(world, "hall@uni.example", "z@else.example", GUEST, RECIPIENT_LISTS_NOW, false, 1001);
	assert_true(str_eq(targets_of(world, &v), STR("552:vault@uni.example bob@uni.example")));
	v = decide_of(world, "hall@uni.example", "z@else.example", GUEST, RECIPIENT_LISTS_NOW, false, 1000);
	assert_true(str_eq(targets_of(world, &v), STR("bob@uni.example anna@uni.example")));
}

static void test_why_names_everybody(void **state)
{
	struct recipient_verdict v = decide(*state, "team@uni.example", NULL, GUEST, RECIPIENT_LISTS_ALL);
	struct str targets = targets_of(*state, &v);
	if (!str_eq(targets, STR("anna@uni.example x@else.example anna@uni.example")))
		fail_msg("\"%.*s\"", STR_FMT(targets));
	assert_true(has_reason(&v, "owner sender", ""));
	assert_int_equal(v.is_list, false); // the team is none, though a list is in it
}

// The members of a large list are asked on a worker, not on a fiber.
static void test_large(void **state)
{
	(void)state;
	struct buf ldif;
	struct err err;
	buf_init(&ldif, 8 << 20);
	buf_add_c(&ldif, world_ldif);
	buf_add_c(&ldif, LIST("large") "phListPostPolicy: members\n");
	for (unsigned i = 0; i < 3 * RECIPIENT_ENTRIES_FIBER; i++)
		buf_printf(&ldif, "member: uid=u%u,dc=uni\nrfc822MailMember: u%u@else.example\n", i, i);
	buf_add_c(&ldif, "member: cn=inner,dc=uni\n" GROUP("crowd"));
	for (unsigned i = 0; i < RECIPIENT_TARGETS_MAX + 1; i++)
		buf_printf(&ldif, "rfc822MailMember: c%u@else.example\n", i);
	struct world world = {.arena = arena_new(64 << 20), .directory = directory_memory_new(buf_str(&ldif), NULL, &err)};
	assert_non_null(world.directory);
	struct recipient_verdict v = decide(&world, "large@uni.example", "u77@else.example", GUEST, RECIPIENT_LISTS_LATER);
	assert_int_equal(v.code, 250);
	v = decide(&world, "large@uni.example", "carl@uni.example", GUEST, RECIPIENT_LISTS_LATER);
	assert_int_equal(v.code, 451);
	assert_true(v.too_big);
	struct addr to, from;
	assert_int_equal(addr_parse(world.arena, STR("large@uni.example"), 0, &to), ADDR_OK);
	assert_int_equal(addr_parse(world.arena, STR("carl@uni.example"), 0, &from), ADDR_OK);
	const struct recipient_query query = {.recipient = &to, .sender = &from, .entries_max = RECIPIENT_ENTRIES_MAX};
	recipient_decide(world.directory, &query, world.arena, &v);
	assert_int_equal(v.code, 250);
	// A group of many is one target too, and keeps its sender.
	v = decide(&world, "crowd@uni.example", "z@else.example", GUEST, RECIPIENT_LISTS_LATER);
	assert_true(str_eq(targets_of(&world, &v), STR("list:crowd@uni.example")));
	assert_true(has_reason(&v, "many", ""));
	v = decide(&world, "crowd@uni.example", "z@else.example", GUEST, RECIPIENT_LISTS_NOW);
	assert_int_equal(v.n_targets, RECIPIENT_TARGETS_MAX + 1);
	assert_int_equal(v.owner.n, 0);
	assert_false(v.is_list);
	directory_close(&world.directory);
	arena_free(&world.arena);
	buf_fini(&ldif);
}

// Members by URL are looked for on a worker; a URL that the shadow cannot answer stops the whole list.
static void test_members_by_url(void **state)
{
	struct world *world = *state;
	struct addr to;
	struct recipient_verdict v;
	assert_int_equal(addr_parse(world->arena, STR("dynamic@uni.example"), 0, &to), ADDR_OK);
	struct recipient_query query = {.recipient = &to, .relayhost = STR("smart.example:25"), .default_domain = STR("uni.example"),
		.lists = RECIPIENT_LISTS_NOW};
	recipient_decide(world->directory, &query, world->arena, &v);
	assert_true(v.too_big);
	query.entries_max = RECIPIENT_ENTRIES_MAX;
	recipient_decide(world->directory, &query, world->arena, &v);
	assert_int_equal(v.code, 250);
	assert_true(has_reason(&v, "member URL", "memberURL"));
	size_t annas = 0;
	for (size_t i = 0; i < v.n_targets; i++)
		annas += str_eq(v.targets[i].address->key, STR("anna@uni.example"));
	assert_int_equal(annas, 1);
	assert_true(v.n_targets >= 5);
	assert_int_equal(addr_parse(world->arena, STR("bad@uni.example"), 0, &to), ADDR_OK);
	recipient_decide(world->directory, &query, world->arena, &v);
	assert_int_equal(v.code, 451);
	assert_true(has_reason(&v, "bad member URL", "memberURL"));
}

// Whether a URL finds anybody is known on a worker.
static void test_nobody_by_url(void **state)
{
	static const struct {
		const char *to;
		int code;
		const char *enhanced;
	} rows[] = {
		{"nobody@uni.example", 550, "5.2.4"}, {"unfound@uni.example", 550, "5.2.4"}, {"found@uni.example", 250, "2.1.5"},
		{"dynamic@uni.example", 250, "2.1.5"}, {"bad@uni.example", 250, "2.1.5"},
	};
	struct world *world = *state;
	struct addr to;
	struct recipient_verdict v;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct recipient_query query = {.recipient = &to};
		assert_int_equal(addr_parse(world->arena, str_of_c(rows[i].to), 0, &to), ADDR_OK);
		recipient_decide(world->directory, &query, world->arena, &v);
		assert_int_equal(v.too_big, !str_eq(to.local, STR("bad")));
		query.entries_max = RECIPIENT_ENTRIES_MAX;
		recipient_decide(world->directory, &query, world->arena, &v);
		if (v.code != rows[i].code || !str_eq(v.enhanced, str_of_c(rows[i].enhanced)))
			fail_msg("%s: %d", rows[i].to, v.code);
	}
	directory_memory_set_status(world->memory, &(struct directory_status){.complete = true, .fresh = false});
	recipient_decide(world->directory, &(struct recipient_query){.recipient = &to, .entries_max = RECIPIENT_ENTRIES_MAX}, world->arena, &v);
	assert_int_equal(v.code, 250);
	assert_int_equal(addr_parse(world->arena, STR("empty@uni.example"), 0, &to), ADDR_OK);
	recipient_decide(world->directory, &(struct recipient_query){.recipient = &to}, world->arena, &v);
	assert_int_equal(v.code, 451); // somebody may have come
}

// A directory that counts walks through it; the rest is the world's.
struct counted {
	struct directory *under;
	size_t walks;
};

static void counted_begin(void *source)
{
	directory_begin(((struct counted *)source)->under);
}

static void counted_end(void *source)
{
	directory_end(((struct counted *)source)->under);
}

static enum directory_answer counted_find(void *source, enum directory_key kind, struct str key, size_t skip, struct arena *arena,
	struct directory_match *match_out)
{
	return directory_find_more(((struct counted *)source)->under, kind, key, skip, arena, match_out);
}

static struct str counted_next_key(void *source, enum directory_key kind, struct str from, struct arena *arena)
{
	return directory_next_key(((struct counted *)source)->under, kind, from, arena);
}

static enum directory_answer counted_each(void *source, bool (*each)(void *arg, const struct entry *entry), void *arg)
{
	struct counted *counted = source;
	counted->walks++;
	return directory_each(counted->under, each, arg);
}

static struct directory_status counted_status(void *source)
{
	return directory_status(((struct counted *)source)->under);
}

static const char *counted_trouble(const void *source)
{
	return directory_trouble(((const struct counted *)source)->under);
}

static void counted_close(void *source)
{
	(void)source; // the world's
}

static const struct directory_ops counted_ops = {counted_begin, counted_end, counted_find, counted_next_key, counted_each, counted_status,
	counted_trouble, counted_close};

// A walk is made once for each version of the shadow and each minute; not at all for who may not post, and again for each doubt.
static void test_walks(void **state)
{
	enum { FOR_NOTHING, FORGOTTEN, NEW_VERSION, MINUTE_OVER, NOT_FRESH };
	static const struct {
		const char *to;
		int before, code;
		const char *enhanced;
		size_t walks;
	} rows[] = {
		{"nobody@uni.example", FOR_NOTHING, 550, "5.2.4", 1}, {"nobody@uni.example", FOR_NOTHING, 550, "5.2.4", 0},
		{"found@uni.example", FOR_NOTHING, 250, "2.1.5", 1}, {"found@uni.example", FOR_NOTHING, 250, "2.1.5", 0},
		{"unfound@uni.example", FOR_NOTHING, 550, "5.2.4", 1}, {"unfound@uni.example", FOR_NOTHING, 550, "5.2.4", 0},
		{"dynamic@uni.example", FOR_NOTHING, 550, "5.7.2", 0}, // members may post
		{"nobody@uni.example", FORGOTTEN, 550, "5.2.4", 1}, {"nobody@uni.example", FOR_NOTHING, 550, "5.2.4", 0},
		{"found@uni.example", NEW_VERSION, 250, "2.1.5", 1}, {"nobody@uni.example", FOR_NOTHING, 550, "5.2.4", 1},
		{"nobody@uni.example", FOR_NOTHING, 550, "5.2.4", 0}, {"nobody@uni.example", MINUTE_OVER, 550, "5.2.4", 1},
		{"nobody@uni.example", NOT_FRESH, 451, "4.3.0", 0}, // what is remembered of a fresh shadow is said as of this one
		{"unfound@uni.example", FOR_NOTHING, 451, "4.3.0", 1}, {"unfound@uni.example", FOR_NOTHING, 451, "4.3.0", 1},
	};
	struct world *world = *state;
	struct counted counted = {.under = world->directory};
	struct directory *directory = directory_new(&counted_ops, &counted);
	struct list_answers *answers = list_answers_new();
	struct clock_fake now = {.mono_ms = 1, .wall_ms = 1795286655000};
	struct directory_status status = {.complete = true, .fresh = true, .version = 1};
	struct addr to, from;
	struct recipient_verdict v;
	clock_inject(&now);
	assert_int_equal(addr_parse(world->arena, STR("z@else.example"), 0, &from), ADDR_OK);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		if (rows[i].before == FORGOTTEN)
			list_answers_forget(answers);
		status.version += rows[i].before == NEW_VERSION;
		status.fresh &= rows[i].before != NOT_FRESH;
		now.wall_ms += rows[i].before == MINUTE_OVER ? LIST_ANSWERS_MS : 0;
		directory_memory_set_status(world->memory, &status);
		struct recipient_query query = {.recipient = &to, .sender = &from, .answers = answers, .message_bytes = i};
		assert_int_equal(addr_parse(world->arena, str_of_c(rows[i].to), 0, &to), ADDR_OK);
		counted.walks = 0;
		recipient_decide(directory, &query, world->arena, &v);
		assert_int_equal(v.too_big, rows[i].walks > 0); // on a fiber; what is remembered needs no worker
		query.entries_max = RECIPIENT_ENTRIES_MAX;
		recipient_decide(directory, &query, world->arena, &v);
		if (v.code != rows[i].code || !str_eq(v.enhanced, str_of_c(rows[i].enhanced)) || counted.walks != rows[i].walks)
			fail_msg("%zu, %s: %d, %zu walks", i, rows[i].to, v.code, counted.walks);
	}
	clock_inject(NULL);
	list_answers_free(&answers);
	directory_close(&directory);
}

// The table is bounded: the oldest answer makes room, and the newest counts.
static void test_answers_make_room(void **state)
{
	struct list_answers *answers = list_answers_new();
	unsigned cause;
	(void)state;
	for (unsigned i = 0; i <= LIST_ANSWERS_MAX; i++)
		list_answers_keep(answers, &(struct guid){.b = {(unsigned char)i, (unsigned char)(i >> 8), 1}}, 7, 1000 + i, i);
	assert_false(list_answers_find(answers, &(struct guid){.b = {0, 0, 1}}, 7, 2000, &cause));
	for (unsigned i = 1; i <= LIST_ANSWERS_MAX; i++) {
		assert_true(list_answers_find(answers, &(struct guid){.b = {(unsigned char)i, (unsigned char)(i >> 8), 1}}, 7, 2000, &cause));
		assert_int_equal(cause, i);
	}
	list_answers_keep(answers, &(struct guid){.b = {5, 0, 1}}, 8, 2000, 99);
	assert_false(list_answers_find(answers, &(struct guid){.b = {5, 0, 1}}, 7, 2000, &cause));
	assert_true(list_answers_find(answers, &(struct guid){.b = {5, 0, 1}}, 8, 2000, &cause));
	assert_int_equal(cause, 99);
	list_answers_free(&answers);
}

// More than a fiber looks at, all gone but the last, or all: known up to a thousand, and only a worker looks.
static void test_many_gone(void **state)
{
	static const struct {
		unsigned gone;
		bool last;
		int code;
	} rows[] = {{150, false, 550}, {150, true, 250}, {900, false, 550}, {1001, false, 250}};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct buf ldif;
		struct err err;
		struct addr to;
		struct recipient_verdict v;
		buf_init(&ldif, 1 << 20);
		buf_add_c(&ldif, "dn: dc=uni\nobjectClass: phMailDomain\nassociatedDomain: uni.example\nphDomainType: local\n\n"
				 "dn: cn=mb1,dc=uni\nobjectClass: phMailHost\ncn: mb1.uni.example\nphHostEndpoint: lmtp=inet:192.0.2.1:24\n\n"
				 USER("anna", "0a") LIST("old"));
		for (unsigned n = 0; n < rows[i].gone; n++)
			buf_printf(&ldif, "member: uid=gone%u,dc=uni\n", n);
		if (rows[i].last)
			buf_add_c(&ldif, "member: uid=anna,dc=uni\n");
		struct world world = {.arena = arena_new(64 << 20), .directory = directory_memory_new(buf_str(&ldif), NULL, &err)};
		assert_non_null(world.directory);
		assert_int_equal(addr_parse(world.arena, STR("old@uni.example"), 0, &to), ADDR_OK);
		struct recipient_query query = {.recipient = &to};
		recipient_decide(world.directory, &query, world.arena, &v);
		assert_true(v.too_big);
		query.entries_max = RECIPIENT_ENTRIES_MAX;
		recipient_decide(world.directory, &query, world.arena, &v);
		if (v.code != rows[i].code)
			fail_msg("%u: %d", rows[i].gone, v.code);
		directory_close(&world.directory);
		arena_free(&world.arena);
		buf_fini(&ldif);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_at_rcpt, setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_nobody_left, setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_expansion, setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_lists_in_lists, setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_moderators, setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_size, setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_why_names_everybody, setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_members_by_url, setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_nobody_by_url, setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_walks, setup, world_teardown),
		cmocka_unit_test(test_answers_make_room),
		cmocka_unit_test(test_many_gone),
		cmocka_unit_test(test_large),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
