// SPDX-License-Identifier: Apache-2.0
// Charsets to UTF-8: a table of names, decoders of our own for the common ones, iconv for the others; case map and NFC by
// libunistring.
//
// The table bounds what a message can make us load: a name goes to iconv_open only through its row, so no "//TRANSLIT" and no
// rarely used module is reachable from outside.
#include "mail/charset.h"

#include <errno.h>
#include <iconv.h>
#include <stdlib.h>
#include <unicase.h>
#include <uninorm.h>
#include <unistr.h>

#include "base/must.h"
#include "chars.h"

#define BAD_CHARACTER STR("\xef\xbf\xbd") // U+FFFD

enum { OWN_UTF8 = 0, OWN_WESTERN = 1, CHUNK_BYTES = 2048, DECOMPOSITION_DEPTH_MAX = 8 };

struct row {
	struct str name;
	const char *iconv; // NULL: ours
	int own;
};

// Supersets stand for the names that senders use loosely: windows-1252 for ISO-8859-1, GB18030 for GB2312, UHC for EUC-KR.
static const struct row rows[] = {
	{STR("utf-8"), NULL, OWN_UTF8},
	{STR("us-ascii"), NULL, OWN_UTF8}, // what is 8-bit in "us-ascii" is UTF-8 or nothing
	{STR("iso-8859-1"), NULL, OWN_WESTERN},
	{STR("windows-1252"), NULL, OWN_WESTERN},
	{STR("ascii"), NULL, OWN_UTF8},
	{STR("ansi_x3.4-1968"), NULL, OWN_UTF8},
	{STR("iso646-us"), NULL, OWN_UTF8},
	{STR("unknown-8bit"), NULL, OWN_UTF8},
	{STR("latin1"), NULL, OWN_WESTERN},
	{STR("l1"), NULL, OWN_WESTERN},
	{STR("cp819"), NULL, OWN_WESTERN},
	{STR("cp1252"), NULL, OWN_WESTERN},
	{STR("x-cp1252"), NULL, OWN_WESTERN},
	{STR("iso-8859-2"), "ISO-8859-2", 0},
	{STR("latin2"), "ISO-8859-2", 0},
	{STR("iso-8859-3"), "ISO-8859-3", 0},
	{STR("iso-8859-4"), "ISO-8859-4", 0},
	{STR("iso-8859-5"), "ISO-8859-5", 0},
	{STR("iso-8859-6"), "ISO-8859-6", 0},
	{STR("iso-8859-7"), "ISO-8859-7", 0},
	{STR("iso-8859-8"), "ISO-8859-8", 0},
	{STR("iso-8859-8-i"), "ISO-8859-8", 0},
	{STR("iso-8859-9"), "ISO-8859-9", 0},
	{STR("latin5"), "ISO-8859-9", 0},
	{STR("iso-8859-10"), "ISO-8859-10", 0},
	{STR("iso-8859-11"), "ISO-8859-11", 0},
	{STR("iso-8859-13"), "ISO-8859-13", 0},
	{STR("iso-8859-14"), "ISO-8859-14", 0},
	{STR("iso-8859-15"), "ISO-8859-15", 0},
	{STR("latin9"), "ISO-8859-15", 0},
	{STR("iso-8859-16"), "ISO-8859-16", 0},
	{STR("windows-1250"), "CP1250", 0},
	{STR("cp1250"), "CP1250", 0},
	{STR("windows-1251"), "CP1251", 0},
	{STR("cp1251"), "CP1251", 0},
	{STR("latin3"), "ISO-8859-3", 0},
	{STR("latin4"), "ISO-8859-4", 0},
	{STR("windows-1253"), "CP1253", 0},
	{STR("cp1253"), "CP1253", 0},
	{STR("windows-1254"), "CP1254", 0},
	{STR("cp1254"), "CP1254", 0},
	{STR("windows-1255"), "CP1255", 0},
	{STR("cp1255"), "CP1255", 0},
	{STR("windows-1256"), "CP1256", 0},
	{STR("cp1256"), "CP1256", 0},
	{STR("windows-1257"), "CP1257", 0},
	{STR("cp1257"), "CP1257", 0},
	{STR("windows-1258"), "CP1258", 0},
	{STR("cp1258"), "CP1258", 0},
	{STR("windows-874"), "CP874", 0},
	{STR("cp874"), "CP874", 0},
	{STR("tis-620"), "TIS-620", 0},
	{STR("koi8-r"), "KOI8-R", 0},
	{STR("koi8-u"), "KOI8-U", 0},
	{STR("ibm437"), "IBM437", 0},
	{STR("cp437"), "IBM437", 0},
	{STR("ibm850"), "IBM850", 0},
	{STR("cp850"), "IBM850", 0},
	{STR("ibm852"), "IBM852", 0},
	{STR("cp852"), "IBM852", 0},
	{STR("ibm855"), "IBM855", 0},
	{STR("cp855"), "IBM855", 0},
	{STR("ibm857"), "IBM857", 0},
	{STR("cp857"), "IBM857", 0},
	{STR("cp858"), "IBM850", 0},
	{STR("ibm862"), "IBM862", 0},
	{STR("cp862"), "IBM862", 0},
	{STR("ibm866"), "CP866", 0},
	{STR("cp866"), "CP866", 0},
	{STR("macintosh"), "MACINTOSH", 0},
	{STR("viscii"), "VISCII", 0},
	{STR("utf-7"), "UTF-7", 0},
	{STR("utf-16"), "UTF-16", 0},
	{STR("utf-16be"), "UTF-16BE", 0},
	{STR("utf-16le"), "UTF-16LE", 0},
	{STR("utf-32"), "UTF-32", 0},
	{STR("utf-32be"), "UTF-32BE", 0},
	{STR("utf-32le"), "UTF-32LE", 0},
	{STR("iso-2022-jp"), "ISO-2022-JP", 0},
	{STR("iso-2022-jp-2"), "ISO-2022-JP-2", 0},
	{STR("shift_jis"), "CP932", 0},
	{STR("sjis"), "CP932", 0},
	{STR("x-sjis"), "CP932", 0},
	{STR("ms932"), "CP932", 0},
	{STR("windows-31j"), "CP932", 0},
	{STR("cp932"), "CP932", 0},
	{STR("euc-jp"), "EUC-JP", 0},
	{STR("gb2312"), "GB18030", 0},
	{STR("gbk"), "GB18030", 0},
	{STR("gb18030"), "GB18030", 0},
	{STR("cp936"), "GB18030", 0},
	{STR("big5"), "BIG5-HKSCS", 0},
	{STR("big5-hkscs"), "BIG5-HKSCS", 0},
	{STR("cp950"), "BIG5-HKSCS", 0},
	{STR("x-gbk"), "GB18030", 0},
	{STR("ms949"), "UHC", 0},
	{STR("johab"), "JOHAB", 0},
	{STR("euc-kr"), "UHC", 0},
	{STR("ks_c_5601-1987"), "UHC", 0},
	{STR("cp949"), "UHC", 0},
	{STR("iso-2022-kr"), "ISO-2022-KR", 0},
};
enum { ROWS = sizeof rows / sizeof *rows };

// Windows-1252, 0x80 to 0x9F; 0: not assigned. Senders that say ISO-8859-1 mean these too, its C1 controls are no text.
static const uint16_t western[32] = {
	0x20ac, 0, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0, 0x017d, 0,
	0, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0, 0x017e, 0x0178,
};

// Names are equal whatever their case, "-" and "_": senders write "iso8859-15", "ISO_8859-15" and "latin-9" (Unicode TS 22,
// section 1.4).
static bool is_name(struct str written, struct str name)
{
	size_t i = 0;
	for (size_t at = 0; at < written.n; at++) {
		if (written.p[at] == '-' || written.p[at] == '_')
			continue;
		while (i < name.n && (name.p[i] == '-' || name.p[i] == '_'))
			i++;
		if (i == name.n || chr_lower(written.p[at]) != name.p[i])
			return false;
		i++;
	}
	return i == name.n && i > 0;
}

static const struct row *find(struct str charset)
{
	for (size_t i = 0; i < ROWS; i++)
		if (is_name(charset, rows[i].name))
			return &rows[i];
	return NULL;
}

bool charset_known(struct str charset)
{
	return find(charset) != NULL;
}

static iconv_t kept[ROWS]; // held open for the life of the process: while one is open its module stays loaded

unsigned charset_preload(void)
{
	unsigned missing = 0;
	for (size_t i = 0; i < ROWS; i++) {
		if (rows[i].iconv == NULL || kept[i] != NULL)
			continue;
		iconv_t converter = iconv_open("UTF-8", rows[i].iconv);
		if (converter == (iconv_t)-1)
			missing++;
		else
			kept[i] = converter;
	}
	return missing;
}

// Adds well-formed UTF-8, or as many whole characters of it as fit; false when that was not all.
static bool add_characters(struct buf *out, struct str utf8)
{
	size_t room = out->overflow ? 0 : out->max - out->n;
	if (utf8.n <= room)
		return buf_add(out, utf8);
	while (room && ((unsigned char)utf8.p[room] & 0xc0) == 0x80)
		room--;
	if (room)
		buf_add(out, str_upto(utf8, room));
	return false;
}

enum charset_result charset_repair_utf8(struct str text, struct buf *out)
{
	enum charset_result result = CHARSET_OK;
	bool in_bad_run = false;
	while (text.n) {
		const uint8_t *bad = u8_check((const uint8_t *)text.p, text.n);
		size_t good = bad ? (size_t)((const char *)bad - text.p) : text.n;
		if (good) {
			in_bad_run = false;
			if (!add_characters(out, str_upto(text, good)))
				return CHARSET_FULL;
		}
		text = str_from(text, good);
		if (text.n == 0)
			break;
		result = CHARSET_REPLACED;
		if (!in_bad_run && !add_characters(out, BAD_CHARACTER))
			return CHARSET_FULL;
		in_bad_run = true;
		text = str_from(text, 1);
	}
	return result;
}

static enum charset_result western_to_utf8(struct str bytes, struct buf *out)
{
	enum charset_result result = CHARSET_OK;
	for (size_t i = 0; i < bytes.n; i++) {
		unsigned c = (unsigned char)bytes.p[i];
		if (c >= 0x80 && c < 0xa0)
			c = western[c - 0x80];
		if (c == 0 && bytes.p[i] != 0) {
			c = 0xfffd;
			result = CHARSET_REPLACED;
		}
		uint8_t utf8[4];
		int n = u8_uctomb(utf8, c, sizeof utf8);
		must(n > 0);
		if (!add_characters(out, str_of((const char *)utf8, (size_t)n)))
			return CHARSET_FULL;
	}
	return result;
}

// One call of iconv into a chunk that is then added. Returns what iconv complained about: 0, E2BIG, EILSEQ or EINVAL; ENOBUFS:
// out is full.
static int convert_chunk(iconv_t converter, char **in, size_t *left, struct buf *out)
{
	char chunk[CHUNK_BYTES];
	char *to = chunk;
	size_t room = sizeof chunk;
	int code = iconv(converter, in, left, &to, &room) == (size_t)-1 ? errno : 0;
	return add_characters(out, str_of(chunk, sizeof chunk - room)) ? code : ENOBUFS;
}

static enum charset_result iconv_to_utf8(iconv_t converter, struct str bytes, struct buf *out)
{
	union {
		const char *given;
		char *in; // iconv does not write through it
	} at = {.given = bytes.p};
	size_t left = bytes.n;
	enum charset_result result = CHARSET_OK;
	char *bad_after = NULL; // where the last bad byte ended: a run of them is one U+FFFD
	while (left) {
		int code = convert_chunk(converter, &at.in, &left, out);
		if (code == 0 || code == E2BIG)
			continue;
		if (code == ENOBUFS)
			return CHARSET_FULL;
		result = CHARSET_REPLACED; // EILSEQ: not in that charset; EINVAL: cut at the end
		if (at.in != bad_after && !add_characters(out, BAD_CHARACTER))
			return CHARSET_FULL;
		size_t skip = code == EINVAL ? left : 1;
		at.in += skip;
		left -= skip;
		bad_after = at.in;
	}
	return convert_chunk(converter, NULL, NULL, out) == ENOBUFS ? CHARSET_FULL : result;
}

enum charset_result charset_to_utf8(struct str charset, struct str bytes, struct buf *out)
{
	const struct row *row = find(charset);
	if (row == NULL)
		return CHARSET_UNKNOWN;
	if (row->iconv == NULL)
		return row->own == OWN_UTF8 ? charset_repair_utf8(bytes, out) : western_to_utf8(bytes, out);
	iconv_t converter = iconv_open("UTF-8", row->iconv);
	if (converter == (iconv_t)-1)
		return CHARSET_UNKNOWN;
	enum charset_result result = iconv_to_utf8(converter, bytes, out);
	iconv_close(converter);
	return result;
}

// Adds c fully decomposed. The depth is bounded by Unicode's data, the limit guards against a loop in it.
static bool add_decomposed(ucs4_t c, unsigned depth, struct buf *out)
{
	ucs4_t parts[UC_DECOMPOSITION_MAX_LENGTH];
	int tag, n = depth < DECOMPOSITION_DEPTH_MAX ? uc_decomposition(c, &tag, parts) : -1;
	if (n < 0) {
		uint8_t utf8[4];
		int bytes = u8_uctomb(utf8, c, sizeof utf8);
		return bytes > 0 && buf_add(out, str_of((const char *)utf8, (size_t)bytes));
	}
	for (int i = 0; i < n; i++)
		if (!add_decomposed(parts[i], depth + 1, out))
			return false;
	return true;
}

bool charset_casemap(struct str utf8, struct buf *out)
{
	for (size_t i = 0; i < utf8.n;) {
		if ((unsigned char)utf8.p[i] < 0x80) {
			if (!buf_add_byte(out, chr_upper(utf8.p[i++])))
				return false;
			continue;
		}
		ucs4_t c;
		int n = u8_mbtoucr(&c, (const uint8_t *)utf8.p + i, utf8.n - i);
		bool added = n > 0 ? add_decomposed(uc_totitle(c), 0, out) : buf_add_byte(out, utf8.p[i]);
		if (!added)
			return false;
		i += n > 0 ? (size_t)n : 1;
	}
	return true;
}

bool charset_nfc(struct str utf8, struct buf *out)
{
	if (!str_is_utf8(utf8))
		return false;
	if (chars_all_ascii(utf8))
		return buf_add(out, utf8);
	size_t n = 0;
	uint8_t *normal = u8_normalize(UNINORM_NFC, (const uint8_t *)utf8.p, utf8.n, NULL, &n);
	must(normal != NULL);
	bool added = buf_add(out, str_of((const char *)normal, n));
	free(normal);
	return added;
}
