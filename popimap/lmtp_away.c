// SPDX-License-Identifier: Apache-2.0
// Who is answered for whom, at a delivery over LMTP.
#include "lmtp_away.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/must.h"
#include "outbox.h"
#include "outbox_data.h"
#include "popimap_metrics.h"
#include "router/vacation.h"
#include "sender.h"

enum { ARENA_BYTES = 4 << 20 }; // of one decision

struct one {
	enum vacation_verdict verdict;
	struct outbox_item item;
	struct buf data; // owned
};

struct lmtp_answers {
	int64_t now_ms;
	size_t n; // recipients of the transaction
	struct one each[];
};

void lmtp_away_look(struct lmtp_session *s, struct lmtp_recipient *recipient, const struct home *home)
{
	struct popimap *popimap = s->service->popimap;
	if (!vacation_is_on(home->entry, clock_wall_ms()))
		return;
	struct settings_snapshot *now = popimap->settings_get(popimap->arg); // a front-end keeps its sessions for days
	recipient->answers_hour_max = (uint64_t)settings_of(now)->vacation_hour_max;
	recipient->away = recipient->answers_hour_max ? home->entry : NULL;
	settings_unref(&now);
}

static bool anybody_is_away(const struct lmtp_session *s)
{
	for (size_t i = 0; i < s->d.txn.recipients_n; i++)
		if (((const struct lmtp_recipient *)s->d.txn.recipients[i])->away)
			return true;
	return false;
}

void lmtp_away_begin(struct lmtp_session *s)
{
	s->head.wanted = anybody_is_away(s);
	if (s->head.wanted)
		buf_init(&s->head.bytes, LMTP_AWAY_HEADER_BYTES_MAX);
}

void lmtp_away_take(struct lmtp_session *s, struct str bytes)
{
	struct lmtp_head *head = &s->head;
	if (!head->wanted || head->complete || head->too_long)
		return;
	size_t before = head->bytes.n;
	head->too_long = !buf_add(&head->bytes, str_upto(bytes, LMTP_AWAY_HEADER_BYTES_MAX - before));
	struct str whole = buf_str(&head->bytes);
	// The empty line can only be where the new bytes are, or begin just before them.
	head->complete =
		str_starts(whole, STR("\r\n")) || str_find(str_from(whole, before > 3 ? before - 3 : 0), STR("\r\n\r\n")) >= 0;
	head->too_long = !head->complete && whole.n == LMTP_AWAY_HEADER_BYTES_MAX;
}

void lmtp_away_forget(struct lmtp_session *s)
{
	if (s->head.wanted)
		buf_fini(&s->head.bytes);
	s->head = (struct lmtp_head){.wanted = false};
}

static bool write_item(struct lmtp_session *s, const struct lmtp_recipient *recipient, const struct vacation_answer *answer,
	int64_t now_ms, struct arena *arena, struct one *one)
{
	struct buf message;
	struct outbox_data data = {.mail.from = addr_null(), .rcpt.to = *answer->to};
	one->item = (struct outbox_item){.kind = STR(SENDER_VACATION), .key = arena_dup(s->d.txn.arena, answer->correspondent),
		.guid = guid_new(),
		.made_ms = now_ms, .until_ms = answer->again_ms, .since_ms = answer->since_ms,
		.hour_max = recipient->answers_hour_max};
	const struct vacation_letter letter = {.user = recipient->away, .recipient = &recipient->rcpt.to, .answer = answer,
		.hostname = s->settings->hostname, .guid = one->item.guid, .now_ms = now_ms};
	buf_init(&message, VACATION_MESSAGE_BYTES_MAX);
	buf_init(&one->data, OUTBOX_DATA_BYTES_MAX);
	bool ok = vacation_write(arena, &letter, &message, &data.mail.smtputf8);
	data.message = buf_str(&message);
	ok = ok && one->item.key.p && outbox_data_write(&data, &one->data);
	one->item.data = buf_str(&one->data);
	buf_fini(&message);
	return ok;
}

// True: it is answered unless the mailbox knows better.
static bool decide_one(struct lmtp_session *s, const struct lmtp_recipient *recipient, const struct delivery *delivery,
	int64_t now_ms, struct arena *arena, struct one *one)
{
	const struct popimap *popimap = s->service->popimap;
	struct vacation_answer answer;
	const struct vacation_facts facts = {.directory = popimap->directory(popimap->arg), .user = recipient->away,
		.sender = &s->d.txn.mail.from, .list = delivery->list, .header = buf_str(&s->head.bytes),
		.delimiters = s->settings->delimiter, .now_ms = now_ms};
	one->verdict = s->head.too_long ? VACATION_TOO_LONG : vacation_decide(arena, &facts, &answer);
	if (one->verdict != VACATION_ANSWER)
		return false;
	if (write_item(s, recipient, &answer, now_ms, arena, one))
		return true;
	log_warning(&s->d.who.log, "an answer for somebody who is away cannot be written",
		log_str("recipient", recipient->rcpt.to.text), log_str("correspondent", answer.correspondent));
	return false;
}

struct lmtp_answers *lmtp_away_decide(struct lmtp_session *s, struct delivery *deliveries)
{
	size_t n = s->d.txn.recipients_n;
	if (!s->head.wanted)
		return NULL;
	struct lmtp_answers *answers = calloc(1, sizeof *answers + n * sizeof *answers->each);
	struct arena *arena = arena_new(ARENA_BYTES);
	must(answers != NULL);
	answers->now_ms = clock_wall_ms();
	answers->n = n;
	for (size_t i = 0; i < n; i++) {
		const struct lmtp_recipient *recipient = s->d.txn.recipients[i];
		struct one *one = &answers->each[i];
		arena_reset(arena);
		if (recipient->away && decide_one(s, recipient, &deliveries[i], answers->now_ms, arena, one))
			deliveries[i].sends = &one->item;
	}
	arena_free(&arena);
	return answers;
}

// What became of it, with the mailbox's word.
static enum vacation_verdict verdict_of(const struct one *one)
{
	switch (one->item.fate) {
	case OUTBOX_KNOWN:
		return VACATION_ANSWERED;
	case OUTBOX_MANY:
		return VACATION_TOO_MANY;
	case OUTBOX_NONE:
	case OUTBOX_ADDED:
	case OUTBOX_FAILED:
		return one->verdict;
	}
	unreachable("enum outbox_fate");
}

static void report(struct lmtp_session *s, const struct lmtp_recipient *recipient, const struct delivery *delivery,
	const struct one *one)
{
	char root[GUID_TEXT_BYTES], guid[GUID_TEXT_BYTES];
	enum vacation_verdict verdict = verdict_of(one);
	bool added = one->item.fate == OUTBOX_ADDED;
	metric_add(added ? &metric_popimap_vacation_answered : &metric_popimap_vacation_unanswered, 1);
	log_info(&s->d.who.log, "message to somebody who is away", log_str("guid", guid_text(&delivery->root, root)),
		log_str("recipient", recipient->rcpt.to.text), log_str("correspondent", s->d.txn.mail.from.text),
		log_bool("answered", added), log_c("verdict", vacation_why(verdict)),
		log_str("answer", added ? guid_text(&one->item.guid, guid) : STR("")));
}

void lmtp_away_end(struct lmtp_session *s, const struct delivery *deliveries, struct lmtp_answers **answers_taken)
{
	struct lmtp_answers *answers = *answers_taken;
	struct sender *sender = s->service->popimap->sender;
	*answers_taken = NULL;
	for (size_t i = 0; answers && i < answers->n; i++) {
		const struct lmtp_recipient *recipient = s->d.txn.recipients[i];
		struct one *one = &answers->each[i];
		if (recipient->away && deliveries[i].code == ERR_OK && !deliveries[i].known)
			report(s, recipient, &deliveries[i], one);
		if (sender && one->item.fate == OUTBOX_ADDED)
			sender_wake(sender, &deliveries[i].account);
		buf_fini(&one->data);
	}
	free(answers);
}
