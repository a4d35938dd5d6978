// SPDX-License-Identifier: Apache-2.0
// All statements on mail.db and node.db, one row each: number and text. Private to the store.
#ifndef POPIMAP_MAIL_SQL_H
#define POPIMAP_MAIL_SQL_H

#define MAIL_FOLDER_COLUMNS \
	"id,name,guid,uidvalidity,uidnext,modseq,use,selectable,recent_uid,messages,unseen,deleted,bytes,flags_modseq"
#define MAIL_FOLDER_DELTA \
	"modseq=?2,uidnext=uidnext+?3,messages=messages+?4,unseen=unseen+?5,deleted=deleted+?6,bytes=bytes+?7"
#define MAIL_MSG_COLUMNS "id,body,bytes,received_s,zone_min,saved_ms"

#define MAIL_SQL(X) \
	X(OWNER_ADD, "INSERT INTO owner(id,mailbox,host,epoch,state,made_ms,change_seq,uidvalidity,folder)" \
		" VALUES(1,?1,?2,?3,0,?4,?5,?6,?7)") \
	/* one row, with NULLs when there is no owner */ \
	X(OWNER, "SELECT mailbox,state,o.made_ms,change_seq,o.uidvalidity,folder,max(modseq),sum(bytes),sum(messages)" \
		" FROM owner o LEFT JOIN folder") \
	X(OWNER_COUNTS, "UPDATE owner SET change_seq=?1,uidvalidity=?2,folder=?3") \
 \
	X(FOLDERS, "SELECT " MAIL_FOLDER_COLUMNS " FROM folder") \
	X(FOLDER_BY_NAME, "SELECT " MAIL_FOLDER_COLUMNS " FROM folder WHERE name=?1") \
	X(FOLDER_BY_ID, "SELECT " MAIL_FOLDER_COLUMNS " FROM folder WHERE id=?1") \
	X(FOLDER_TARGET, "SELECT id,uidvalidity,uidnext,selectable FROM folder WHERE name=?1") \
	X(FOLDER_BELOW, "SELECT 1 FROM folder WHERE name>=?1||'/' AND name<?1||'0' LIMIT 1") \
	X(FOLDER_USED, "SELECT 1 FROM folder WHERE use=?1 LIMIT 1") \
	X(FOLDERS_COUNT, "SELECT count(*) FROM folder") \
	X(FOLDER_ADD, "INSERT INTO folder(id,name,guid,uidvalidity,uidnext,modseq,flags_modseq,use,selectable,made_ms,recent_uid,messages," \
		"unseen,deleted,bytes,keywords) VALUES(?7,?1,?2,?3,1,?4,?4,?5,1,?6,1,0,0,0,0,'')") \
	X(FOLDER_DELTA, "UPDATE folder SET " MAIL_FOLDER_DELTA " WHERE id=?1") \
	X(FOLDER_DELTA_FLAGS, "UPDATE folder SET " MAIL_FOLDER_DELTA ",flags_modseq=?2 WHERE id=?1") \
	X(FOLDERS_BEGIN, "UPDATE folder SET guid=substr(?1,16*id-15,16),uidvalidity=?2+id,made_ms=?3") \
	X(FOLDER_RECENT, "UPDATE folder SET recent_uid=max(recent_uid,?2) WHERE id=?1") \
	X(FOLDER_SELECTABLE, "UPDATE folder SET selectable=?2,modseq=?3,uidvalidity=?4,use=?5,guid=?6 WHERE id=?1") \
	X(FOLDER_NAME, "UPDATE folder SET name=?2,modseq=?3 WHERE id=?1") \
	X(FOLDER_DROP, "DELETE FROM folder WHERE id=?1") \
	X(FOLDER_GONE, "INSERT INTO expunged(modseq,folder,uid) VALUES(?1,?2,0)") \
 \
	X(KEYWORDS, "SELECT keywords FROM folder WHERE id=?1") \
	X(KEYWORD_ADD, "UPDATE folder SET keywords=keywords||?2||' ',modseq=?3 WHERE id=?1") \
 \
	X(SUBSCRIPTIONS, "SELECT name FROM subscription WHERE subscribed=1") \
	X(SUBSCRIPTIONS_COUNT, "SELECT count(*) FROM subscription") \
	X(SUBSCRIBED, "SELECT subscribed FROM subscription WHERE name=?1") \
	X(SUBSCRIBE, "INSERT INTO subscription(name,subscribed,modseq) VALUES(?1,?2,?3)" \
		" ON CONFLICT(name) DO UPDATE SET subscribed=?2,modseq=?3") \
 \
	X(MSG_ADD, "INSERT INTO msg(" MAIL_MSG_COLUMNS ") VALUES(?1,?2,?3,?4,?5,?6)") \
	X(MSG, "SELECT " MAIL_MSG_COLUMNS " FROM msg WHERE id=?1") \
	X(MSG_RANGE, "SELECT " MAIL_MSG_COLUMNS " FROM msg WHERE id BETWEEN ?1 AND ?2 ORDER BY id") \
	X(MSG_DROP, "DELETE FROM msg WHERE id=?1") \
	X(FLAGS, "SELECT data FROM flags WHERE id=?1") \
	X(FLAGS_SINCE, "SELECT id,data FROM flags WHERE id BETWEEN ?1 AND ?2 AND modseq>?3 ORDER BY id") \
	X(FLAGS_SET, "INSERT OR REPLACE INTO flags(id,modseq,data) VALUES(?1,?2,?3)") \
	X(FLAGS_DROP, "DELETE FROM flags WHERE id=?1") \
	X(EXPUNGED_ADD, "INSERT INTO expunged(modseq,folder,uid) VALUES(?1,?2,?3)") \
	X(EXPUNGED, "SELECT uid FROM expunged WHERE modseq>?2 AND folder=?1 AND uid<?3") \
	X(EXPUNGED_FORGET, "DELETE FROM expunged WHERE folder=?1") \
 \
	X(TRASH_ADD, "INSERT INTO trash(" MAIL_MSG_COLUMNS ",flags,modseq,gone_ms) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9)") \
	X(TRASH, "SELECT " MAIL_MSG_COLUMNS ",flags,modseq FROM trash WHERE id=?1") \
	X(TRASH_OLD, "SELECT id,body FROM trash WHERE gone_ms<=?1 LIMIT ?2") \
	X(TRASH_DROP, "DELETE FROM trash WHERE id=?1") \
 \
	X(BODY_ADD, "INSERT INTO body(guid,refs,bytes,thread,prefix,data) VALUES(?1,1,?2,?3,?4,?5)") \
	/* typeof: "data IS NULL" would read all of data */ \
	X(BODY, "SELECT guid,bytes,thread,prefix,typeof(data)='null' FROM body WHERE id=?1") \
	X(BODY_PREFIX, "SELECT prefix FROM body WHERE id=?1") \
	X(BODY_TEXT, "SELECT prefix,data FROM body WHERE id=?1") \
	X(BODY_REFS, "UPDATE body SET refs=refs+?2 WHERE id=?1 RETURNING refs") \
	X(BODY_DROP, "DELETE FROM body WHERE id=?1") \
	X(BODY_BIG, "SELECT 1 FROM body WHERE guid=?1 AND data IS NULL LIMIT 1") \
	X(CACHE_ADD, "INSERT OR REPLACE INTO cache(body,data) VALUES(?1,?2)") \
	X(CACHE, "SELECT data FROM cache WHERE body=?1") \
	X(CACHE_DROP, "DELETE FROM cache WHERE body=?1") \
	X(THREAD, "SELECT thread FROM thread WHERE hash=?1") \
	X(THREAD_ADD, "INSERT OR IGNORE INTO thread(hash,thread) VALUES(?1,?2)") \
 \
	X(DELIVERED, "SELECT msg FROM delivered WHERE root=?1 AND detail=?2 AND list=?3") \
	X(DELIVERED_ADD, "INSERT INTO delivered(root,detail,list,time_ms,msg,modseq) VALUES(?1,?2,?3,?4,?5,?6)") \
	X(DELIVERED_FORGET, "DELETE FROM delivered WHERE time_ms<?1") \
 \
	X(OUTBOX_MADE, "SELECT made_ms FROM outbox WHERE kind=?1 AND key=?2") \
	X(OUTBOX_COUNT, "SELECT count(*) FROM outbox WHERE kind=?1 AND made_ms>?2") \
	X(OUTBOX_ADD, "INSERT OR REPLACE INTO outbox(kind,key,made_ms,until_ms,guid,modseq,data) VALUES(?1,?2,?3,?4,?5,?6,?7)") \
	X(OUTBOX_NEXT, "SELECT kind,key,made_ms,guid,data FROM outbox WHERE typeof(data)<>'null' AND (kind,key)>(?1,?2)" \
		" ORDER BY kind,key LIMIT 1") \
	X(OUTBOX_SENT, "UPDATE outbox SET data=NULL,modseq=?4 WHERE kind=?1 AND key=?2 AND guid=?3") \
	X(OUTBOX_FORGET, "DELETE FROM outbox WHERE until_ms<?1 AND typeof(data)='null'")

#define NODE_SQL(X) \
	X(ADD, "INSERT OR IGNORE INTO mailbox(id,made_ms,changed_ms,format,wal_bytes,bytes,messages,change_seq,indexed,tidied_ms)" \
		" VALUES(?1,?2,?2,?3,0,0,0,0,0,0)") \
	X(CHANGED, "UPDATE mailbox SET changed_ms=?2,format=?3,wal_bytes=?4,bytes=?5,messages=?6,change_seq=?7 WHERE id=?1") \
	X(LIST, "SELECT id,made_ms,changed_ms,bytes,messages,tidied_ms FROM mailbox WHERE id>?1 ORDER BY id LIMIT ?2") \
	X(TIDIED, "UPDATE mailbox SET tidied_ms=?2 WHERE id=?1") \
	X(OUTBOX_ADD, "INSERT OR IGNORE INTO outbox(mailbox) VALUES(?1)") \
	X(OUTBOX_LIST, "SELECT mailbox FROM outbox WHERE mailbox>?1 ORDER BY mailbox LIMIT ?2") \
	X(OUTBOX_DROP, "DELETE FROM outbox WHERE mailbox=?1")

#define MAIL_SQL_ENUM(name, text) SQL_##name,
#define NODE_SQL_ENUM(name, text) SQL_NODE_##name,
enum { MAIL_SQL(MAIL_SQL_ENUM) MAIL_SQL_N };
enum { NODE_SQL(NODE_SQL_ENUM) NODE_SQL_N };

#endif
