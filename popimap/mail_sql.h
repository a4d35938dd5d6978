// SPDX-License-Identifier: Apache-2.0
// All statements on mail.db and node.db, one row each: number and text. Private to the store.
#ifndef POPIMAP_MAIL_SQL_H
#define POPIMAP_MAIL_SQL_H

#define MAIL_MSG_COLUMNS "id,body,bytes,received_s,zone_min,saved_ms"

#define MAIL_SQL(X)													\
	X(ROWS, "SELECT k,v FROM row WHERE k>=?1 AND k<?2 ORDER BY k")							\
	X(ROWS_COUNT, "SELECT count(*) FROM row WHERE k>=?1 AND k<?2")							\
	X(ROWS_OLD, "SELECT k,v FROM row WHERE k>=?1 AND k<?2 AND substr(v,1,8)<=?3 ORDER BY k LIMIT ?4")		\
	X(ROWS_FORGET, "DELETE FROM row WHERE k>=?1 AND k<?2 AND substr(v,1,8)<?3")					\
	X(ROW_SET, "REPLACE INTO row VALUES(?1,?2)")									\
	X(ROW_DROP, "DELETE FROM row WHERE k=?1")									\
	/* tombstones of one folder: behind the kind and the modseq */							\
	X(EXPUNGED_FORGET, "DELETE FROM row WHERE k>=?1 AND k<?2 AND substr(k,10,4)=?3")				\
															\
	X(MSG_ADD, "INSERT INTO msg VALUES(?1,?2,?3,?4,?5,?6)")								\
	X(MSG, "SELECT " MAIL_MSG_COLUMNS " FROM msg WHERE id=?1")							\
	X(MSG_RANGE, "SELECT " MAIL_MSG_COLUMNS " FROM msg WHERE id BETWEEN ?1 AND ?2 ORDER BY id")			\
	X(MSG_DROP, "DELETE FROM msg WHERE id=?1")									\
															\
	X(BLOCK, "SELECT data FROM block WHERE id=?1")									\
	X(BLOCK_SINCE, "SELECT id,data FROM block WHERE id BETWEEN ?1 AND ?2 AND modseq>?3 ORDER BY id")		\
	X(BLOCK_SET, "REPLACE INTO block VALUES(?1,?2,?3)")								\
	X(BLOCK_DROP, "DELETE FROM block WHERE id=?1")									\
															\
	X(BODY_ADD, "INSERT INTO body VALUES(NULL,?1,1,?2,?3,?4,?5)")							\
	/* typeof: "data IS NULL" would read all of data */								\
	X(BODY, "SELECT guid,bytes,thread,prefix,typeof(data)='null' FROM body WHERE id=?1")				\
	X(BODY_PREFIX, "SELECT prefix FROM body WHERE id=?1")								\
	X(BODY_TEXT, "SELECT prefix,data FROM body WHERE id=?1")							\
	X(BODY_REFS, "UPDATE body SET refs=refs+?2 WHERE id=?1 RETURNING refs")						\
	X(BODY_DROP, "DELETE FROM body WHERE id=?1 RETURNING guid")

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
