"""What a regular expression cannot say of a finding: is it random, a card's number, a version?"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from typing import TypeAlias

# Of a finding: the secret, all that matched, and the text before it.
Check: TypeAlias = Callable[[str, str, str], bool]

_RUNS = re.compile(r"[A-Z]?[a-z]{3,}|[A-Z]{4,}")
# The 240 commonest pairs of letters in English words, 94 of 100 pairs there (counted in the words
# of Debian's fortunes, each by the root of its number): a letter, and those that follow it.
_FOLLOWS = (
    "abcdgiklmnprstuvwy baeiloru cacehiklortu dadeilorsu eacdefgilmnoprstvwxy faefiloru "
    "gaehilorsu haeiortu iabcdefglmnoprstvz keis ladeilostuy mabeimopsu nacdefgiknostuy "
    "oabcdfgiklmnoprstuvw paehiloprstu qu racdegiklmnorstuy sacehiklmopstu tacehilorstuy "
    "uabcdegilmnprst vaeio waehio yelos ze "
)
_PAIRS = frozenset(row[0] + after for row in _FOLLOWS.split() for after in row[1:])
_VERSION = re.compile(
    r"(?i)\b(?:v|ver|version|release|build|patch|firmware|revision|section)\W{0,3}$"
)
_ROOMS = re.compile(
    r"/(?:office|kitchen|garden|hotel|school|bedroom|bathroom|outdoor|travel|party|living|theater"
    r"|decor)\b"
)
_CODE = re.compile(r"(?:threading|email|py|chrome|self|this|config|settings)\.")
_HASH = re.compile(r"[0-9a-fA-F-]+")
_PRODUCT = re.compile(r"[A-Z0-9]{3,6}(?:-[A-Z0-9]{3,6}){2,}")


def entropy(text: str) -> float:
    """Shannon's, in bits a character.

    >>> entropy("aaaa"), entropy("abcd")
    (0.0, 2.0)
    """
    counts = Counter(text).values()
    return sum(n / len(text) * math.log2(len(text) / n) for n in counts)


def readable(text: str) -> float:
    """The share of a text's letters that stand in what could be words.

    >>> readable("OpenSesame2024"), readable("kJ8sD2lq9XzT41vB")
    (1.0, 0.0)
    """
    letters = sum(c.isalpha() for c in text) or 1
    return sum(len(run) for run in _RUNS.findall(text) if _is_word(run)) / letters


def _is_word(run: str) -> bool:
    pairs = [run[at : at + 2].lower() in _PAIRS for at in range(len(run) - 1)]
    return sum(pairs) >= 0.74 * len(pairs)


def random(secret: str, match: str, before: str) -> bool:
    """Chosen by a machine: no words, and no hash or product key that a sentence speaks of."""
    spoken = not _of_a_program(match) and (_HASH.fullmatch(secret) or _PRODUCT.fullmatch(secret))
    return not spoken and readable(secret) < 0.5


def in_prose(secret: str, match: str, before: str) -> bool:
    """What `random` leaves out though no words are in it: `the key is: 5d41…`."""
    return readable(secret) < 0.5


def has_digit(secret: str, match: str, before: str) -> bool:
    """Words and lists of words have none."""
    return any(c.isdigit() for c in secret)


def mixed(secret: str, match: str, before: str) -> bool:
    """Letters and something else: a person's password as well, and no word."""
    return any(c.isalpha() for c in secret) and not secret.rstrip(".!?,)'\"").isalpha()


def of_a_program(secret: str, match: str, before: str) -> bool:
    """Written as programs write it: quoted, or with a name that no sentence has."""
    return _of_a_program(match)


def _of_a_program(match: str) -> bool:
    name = re.split(r"[\"'\s]*(?:=>|=|:)", match, maxsplit=1)[0]
    identifier = re.search(r"_|[a-z][A-Z]|[\w]\.[\w]", name)
    return bool(identifier or '"' in match or "'" in match or re.search(r"\w=\S", match))


def mail(secret: str, match: str, before: str) -> bool:
    """Names of several letters: a dungeon's map has `xxx@xx.xxxxx`."""
    labels = secret.rpartition("@")[2].rsplit(".", 2)[-2:]
    return all(len(set(label)) > 1 for label in labels)


def phone(secret: str, match: str, before: str) -> bool:
    """Eight to fifteen digits (E.164), not all of them one."""
    digits = [c for c in secret if c.isdigit()]
    return 8 <= len(digits) <= 15 and len(set(digits)) > 2


def luhn(secret: str, match: str, before: str) -> bool:
    """ISO/IEC 7812-1, annex B.

    >>> luhn("4111 1111 1111 1111", "", ""), luhn("4111 1111 1111 1112", "", "")
    (True, False)
    """
    digits = [int(c) for c in secret if c.isdigit()]
    twice = (sum(divmod(2 * d, 10)) for d in digits[-2::-2])
    return len(digits) >= 13 and (sum(digits[-1::-2]) + sum(twice)) % 10 == 0


def iban(secret: str, match: str, before: str) -> bool:
    """ISO 13616: the rest by 97 is 1.

    >>> iban("DE89 3704 0044 0532 0130 00", "", "")
    True
    """
    plain = secret.replace(" ", "")
    turned = plain[4:] + plain[:4]
    return 15 <= len(plain) <= 34 and int("".join(str(int(c, 36)) for c in turned)) % 97 == 1


def address(secret: str, match: str, before: str) -> bool:
    """Four bytes, and no version's number."""
    return all(int(part) < 256 for part in secret.split(".")) and not _VERSION.search(before)


def no_room(secret: str, match: str, before: str) -> bool:
    """A shop's `/home/office` is no user's folder."""
    return not _ROOMS.search(secret)


def no_code(secret: str, match: str, before: str) -> bool:
    """A program's `threading.local` is no host."""
    return not _CODE.match(secret)


CHECKS: dict[str, Check] = {
    check.__name__: check
    for check in (
        random,
        in_prose,
        has_digit,
        mixed,
        of_a_program,
        mail,
        phone,
        luhn,
        iban,
        address,
        no_room,
        no_code,
    )
}
