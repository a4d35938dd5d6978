#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""deploy/ldap/schema.py [--check]: makes posthouse.ldif (slapd, cn=config) and 98posthouse.ldif (389-ds) from posthouse.schema.

With --check nothing is written: it says what differs, also from schema/include/schema/attr.def, which is what the daemons read; exit 1 then.
"""
import collections
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.join(HERE, "posthouse.schema")
ATTR_DEF = os.path.join(HERE, "..", "..", "schema", "include", "schema", "attr.def")

# What a syntax of attr.def is in LDAP: its OID, and how values are compared.
IA5, TEXT = "1.3.6.1.4.1.1466.115.121.1.26", "1.3.6.1.4.1.1466.115.121.1.15"
SYNTAXES = {
    "IA5": (IA5, "caseIgnoreIA5Match"), "IA5_EXACT": (IA5, "caseExactIA5Match"),
    "TEXT": (TEXT, "caseIgnoreMatch"), "TEXT_EXACT": (TEXT, "caseExactMatch"),
    "INTEGER": ("1.3.6.1.4.1.1466.115.121.1.27", "integerMatch"), "BOOLEAN": ("1.3.6.1.4.1.1466.115.121.1.7", "booleanMatch"),
    "TIME": ("1.3.6.1.4.1.1466.115.121.1.24", "generalizedTimeMatch"), "DN": ("1.3.6.1.4.1.1466.115.121.1.12", "distinguishedNameMatch"),
    "OCTETS": ("1.3.6.1.4.1.1466.115.121.1.40", "octetStringMatch"),
}
FIRST_STANDARD = 160  # rows of attr.def from here are attributes of others

# 389-ds has no attributes of these names. (The OID that OpenLDAP gives mailLocalAddress is mailAlternateAddress there.)
MISSING_IN_389 = tuple(f"( phAttribute:{number} NAME '{name}' DESC '{what}' EQUALITY caseIgnoreIA5Match SYNTAX {IA5}{{320}} )" for number, name, what in (
    (162, "mailLocalAddress", "every address at which mail is accepted"), (166, "rfc822MailMember", "where mail to an alias goes")))

Attribute = collections.namedtuple("Attribute", "number name syntax equality single text")
ObjectClass = collections.namedtuple("ObjectClass", "number name must may text")


def words_of(definition, keyword):
    """The names after MUST or MAY."""
    found = re.search(keyword + r" (\w+|\([^()]*\))", definition)
    return re.findall(r"\w+", found.group(1)) if found else []


class Schema:
    def __init__(self, text):
        self.roots, self.attributes, self.classes = {}, [], []
        for statement in re.findall(r"^(\w+\s(?:.*\n)(?:[ \t]+.*\n)*)", re.sub(r"^#.*\n", "", text, flags=re.M), flags=re.M):
            keyword, rest = statement.split(None, 1)
            rest = " ".join(rest.split())
            if keyword == "objectIdentifier":
                name, value = rest.split()
                self.roots[name] = value
            elif keyword == "attributetype":
                head = re.match(r"\( phAttribute:(\d+) NAME '(\w+)'", rest)
                self.attributes.append(Attribute(int(head[1]), head[2], re.search(r"SYNTAX ([\d.]+)", rest)[1], re.search(r"EQUALITY (\w+)", rest)[1],
                                                 "SINGLE-VALUE" in rest, rest))
            elif keyword == "objectclass":
                head = re.match(r"\( phClass:(\d+) NAME '(\w+)'", rest)
                self.classes.append(ObjectClass(int(head[1]), head[2], words_of(rest, "MUST"), words_of(rest, "MAY"), rest))
            else:
                raise ValueError(f"unknown statement {keyword}")

    def numeric(self, text):
        """With OIDs in full, as 389-ds wants them."""
        return re.sub(r"\b(phAttribute|phClass):(\d+)", lambda found: f"{self.roots['phRoot']}.{self.roots[found[1]].split(':')[1]}.{found[2]}", text)


def folded(line, width=130):
    """An LDIF line, continued as RFC 2849 has it; between words, so that no line ends with a space that an editor would take away."""
    pieces = []
    while len(line) > width:
        cut = line.rindex(" ", 0, width)
        pieces.append(line[:cut])
        line = line[cut:]
    return "\n ".join(pieces + [line]) + "\n"


HEAD = "# SPDX-License-Identifier: Apache-2.0\n# Made by schema.py from posthouse.schema. {}\n"


def cn_config(schema):
    lines = [HEAD.format("For slapd with cn=config: ldapadd -Y EXTERNAL -H ldapi:/// -f posthouse.ldif"),
             "dn: cn=posthouse,cn=schema,cn=config\n", "objectClass: olcSchemaConfig\n", "cn: posthouse\n"]
    lines += [f"olcObjectIdentifier: {name} {value}\n" for name, value in schema.roots.items()]
    lines += [folded(f"olcAttributeTypes: {attribute.text}") for attribute in schema.attributes]
    lines += [folded(f"olcObjectClasses: {cls.text}") for cls in schema.classes]
    return "".join(lines)


def ds_389(schema):
    def origin(text):
        return schema.numeric(text).removesuffix(" )") + " X-ORIGIN 'Posthouse' )"
    lines = [HEAD.format("For 389-ds: to /etc/dirsrv/slapd-INSTANCE/schema/ with it, then dsconf INSTANCE schema reload."), "dn: cn=schema\n"]
    lines += [folded(f"attributeTypes: {origin(text)}") for text in (*MISSING_IN_389, *(attribute.text for attribute in schema.attributes))]
    lines += [folded(f"objectClasses: {origin(cls.text)}") for cls in schema.classes]
    return "".join(lines)


FORMS = {"posthouse.ldif": cn_config, "98posthouse.ldif": ds_389}


def attr_def():
    """Rows of attr.def: (number, name, syntax, is single)."""
    with open(ATTR_DEF, encoding="utf-8") as stream:
        rows = re.findall(r'^ATTR\(\w+, (\d+), "(\w+)", (\w+), (SINGLE|MULTI),', stream.read(), flags=re.M)
    return [(int(number), name, syntax, values == "SINGLE") for number, name, syntax, values in rows]


def differences(schema):
    """What the schema says otherwise than attr.def; and what no class can hold."""
    found = []
    ours = {attribute.name: attribute for attribute in schema.attributes}
    rows = attr_def()
    for number, name, syntax, single in rows:
        if number >= FIRST_STANDARD:
            continue
        attribute = ours.pop(name, None)
        if attribute is None:
            found.append(f"{name} is in attr.def and not in posthouse.schema")
        elif (attribute.number, attribute.syntax, attribute.equality, attribute.single) != (number, *SYNTAXES[syntax], single):
            found.append(f"{name} is {number} {syntax} {'SINGLE' if single else 'MULTI'} in attr.def; posthouse.schema: {attribute.text}")
    found += [f"{name} is in posthouse.schema and not in attr.def" for name in ours]
    known = {name for _, name, _, _ in rows}
    held = {name for cls in schema.classes for name in cls.must + cls.may}
    found += [f"no class holds {name}" for name in sorted(known - held)]
    found += [f"a class holds {name}, which attr.def does not know" for name in sorted(held - known)]
    for what, numbers in (("attribute", [a.number for a in schema.attributes]), ("class", [c.number for c in schema.classes])):
        found += [f"{what} number {n} is there twice" for n, times in collections.Counter(numbers).items() if times > 1]
    return found


def read():
    with open(SOURCE, encoding="utf-8") as stream:
        return Schema(stream.read())


def stale(schema):
    """Forms that are not what posthouse.schema makes."""
    found = []
    for name, make in FORMS.items():
        try:
            with open(os.path.join(HERE, name), encoding="utf-8") as stream:
                same = stream.read() == make(schema)
        except OSError:
            same = False
        if not same:
            found.append(f"{name} is not what posthouse.schema makes: run deploy/ldap/schema.py")
    return found


def main():
    if sys.argv[1:] not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    schema = read()
    if not sys.argv[1:]:
        for name, make in FORMS.items():
            with open(os.path.join(HERE, name), "w", encoding="utf-8") as stream:
                stream.write(make(schema))
    complaints = differences(schema) + stale(schema)
    for complaint in complaints:
        print(f"deploy/ldap/schema.py: {complaint}", file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
