"""The forms of secrets: what vendors issue, what stands beside a telling word, and what is simply random.

Counterpart: `policy.exposure` merges what is found here with the values that this process holds, and replaces it.

Rules that hold here:

1. Finding is linear: a repetition is bounded, or it cannot begin within its own run (a lookbehind forbids it).
2. A vendor form does not begin inside a word: `task-…` and `risk-…` are no keys.
3. Beside a telling word the value must look like a value: code (`token = next_token()`), names of variables and
   stand-ins (`<password>`, `changeme`) stay.
4. Random runs are taken only where no word explains them: digests, commit ids, UUIDs and lock files stay.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

Span = tuple[int, int, str]
"""Start, end (exclusive) and kind."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One form of secret. The group `secret` is replaced when the pattern has it, else the whole match."""

    kind: str
    hints: tuple[str, ...]
    """Lower-case texts of which one must occur for the rule to be tried."""
    pattern: re.Pattern[str]
    accepts: Callable[[re.Match[str]], bool] | None = None


def find_forms(text: str) -> Iterator[Span]:
    """Every form found in *text*, the surest first; spans may overlap."""
    low = lowered(text)
    for rule in (*VENDOR_RULES, *CONTEXT_RULES):
        if not any(hint in low for hint in rule.hints):
            continue
        group = "secret" if "secret" in rule.pattern.groupindex else 0
        for match in rule.pattern.finditer(text):
            if rule.accepts is None or rule.accepts(match):
                start, end = match.span(group)
                yield start, _unescaped(text, start, end), rule.kind
    yield from _named_values(text)
    yield from _opaque_runs(text)


def lowered(text: str) -> str:
    """*text* in lower case at the same places; only ASCII is lowered where Unicode would change the length."""
    low = text.lower()
    return low if len(low) == len(text) else text.translate(_ASCII_LOWER)


_ASCII_LOWER: Final = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def _unescaped(text: str, start: int, end: int) -> int:
    """*end* before the backslashes that belong to a following quote: redacted JSON must stay JSON."""
    if text[end : end + 1] in ('"', "'"):
        while end > start and text[end - 1] == "\\":
            end -= 1
    return end


# ---------------------------------------------------------------------------------------------- vendor forms


def _form(kind: str, hints: str, pattern: str, *, not_after: str = "") -> Rule:
    """A vendor form: not inside a longer word, because `task-…` and `risk-…` are no keys.

    An underscore or a hyphen before it is no part of a word (`backup_ghp_….py`, the branch `fix-ghp_…`), but where the
    form begins within its own run and may then still fail: trying it at each of them would cost squares.
    """
    return Rule(kind, tuple(hints.split()), re.compile(rf"(?<![A-Za-z0-9{not_after}]){pattern}"))


def _decodes_to_login(match: re.Match[str]) -> bool:
    try:
        plain = base64.b64decode(match["secret"] + "==", validate=False)
    except (binascii.Error, ValueError):
        return False
    return b":" in plain and all(0x20 <= byte < 0x7F for byte in plain)


def _is_no_placeholder(match: re.Match[str]) -> bool:
    return not _STAND_IN.fullmatch(match["secret"])


def _has_digit(match: re.Match[str]) -> bool:
    return any(char.isdigit() for char in match["secret"]) and _is_no_placeholder(match)


_STAND_IN: Final = re.compile(
    r"(?i)(?:<.*>|\$.*|\{.*\}|%.*%|\*+|x+|\.+|…|-+|your[-_ ].*|my[-_ ].*|example.*|changeme|change[-_]me.*"
    r"|placeholder.*|dummy.*|redacted|none|null|nil|true|false|undefined|password|passwd|pass|secret|token|string|str|env|todo|tbd)"
)

VENDOR_RULES: Final = (
    _form("anthropic-key", "sk-ant-", r"sk-ant-[A-Za-z0-9_-]{16,}"),
    _form(
        "openai-key", "sk-", r"sk-(?:proj-|svcacct-|admin-|or-v1-|ocg-)?(?=[A-Za-z_-]{0,200}[0-9])[A-Za-z0-9_-]{20,}"
    ),
    _form("github-token", "ghp_ gho_ ghu_ ghs_ ghr_", r"gh[pousr]_[A-Za-z0-9]{30,}"),
    _form("github-token", "github_pat_", r"github_pat_[A-Za-z0-9_]{22,}"),
    _form("gitlab-token", "glpat- gldt- glrt- glcbt- glptt-", r"gl(?:pat|dt|rt|cbt|ptt)-[A-Za-z0-9_.-]{16,}"),
    _form("slack-token", "xox xapp-", r"(?:xox[abeoprs]|xapp)-(?:[A-Za-z0-9]{1,80}-){0,6}[A-Za-z0-9]{8,}"),
    _form("slack-webhook", "hooks.slack.com", r"hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/]{20,}"),
    _form("aws-key-id", "akia asia abia acca", r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}(?![A-Za-z0-9])"),
    Rule(
        "aws-secret",
        ("aws", "secret"),
        re.compile(
            r"(?i)(?:aws|secret)[a-z_ -]{0,24}(?:key|secret)[\"']?\s{0,4}(?:=>|:=|=|:)\s{0,4}[\"']?"
            r"(?-i:(?P<secret>[A-Za-z0-9/+]{40}))(?![A-Za-z0-9/+=])"
        ),
    ),
    _form("google-key", "aiza", r"AIza[A-Za-z0-9_-]{35}"),
    _form("google-token", "ya29.", r"ya29\.[A-Za-z0-9_-]{20,}"),
    _form("google-secret", "gocspx-", r"GOCSPX-[A-Za-z0-9_-]{20,}"),
    _form("stripe-key", "_live_ _test_ whsec_", r"(?:[spr]k_(?:live|test)_|whsec_)[A-Za-z0-9]{16,}"),
    _form("npm-token", "npm_", r"npm_[A-Za-z0-9]{30,}"),
    _form("pypi-token", "pypi-", r"pypi-AgE[A-Za-z0-9_-]{20,}"),
    _form("huggingface-token", "hf_", r"hf_[A-Za-z0-9]{30,}"),
    _form("groq-key", "gsk_", r"gsk_[A-Za-z0-9]{40,}"),
    _form("digitalocean-token", "_v1_", r"do[opr]_v1_[a-f0-9]{64}"),
    _form("shopify-token", "shp", r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"),
    _form("linear-key", "lin_api_", r"lin_api_[A-Za-z0-9]{32,}"),
    _form("vault-token", "hvs. hvb.", r"hv[sb]\.[A-Za-z0-9_-]{24,}"),
    _form("age-key", "age-secret-key-1", r"AGE-SECRET-KEY-1[A-Z0-9]{50,}"),
    _form("mailgun-key", "key-", r"key-[0-9a-f]{32}(?![A-Za-z0-9])"),
    _form("discord-token", ".", r"[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,}", not_after="_-"),
    _form("telegram-token", ":aa", r"[0-9]{8,10}:AA[A-Za-z0-9_-]{33}"),
    _form("twilio-key", "sk", r"SK[0-9a-f]{32}(?![A-Za-z0-9])"),
    _form("sendgrid-key", "sg.", r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{32,64}"),
    _form(
        "vendor-token",
        "ntn_ figd_ dp. glsa_ glc_ sntrys_ sntryu_ dckr_ pplx- xai- pmak- rubygems_ nrak- sq0 hrku- lsv2_ nvapi- "
        "tskey- pscale_ phc_ phx_",
        r"(?:ntn_|figd_|dp\.(?:pt|st|ct|sa|scim|audit)\.|glsa_|glc_|sntry[su]_|dckr_(?:pat|oat)_|pplx-|xai-|PMAK-|rubygems_|"
        r"NRAK-|sq0(?:atp|csp|idp)-|HRKU-|lsv2_[a-z]{2}_|nvapi-|tskey-[a-z]{2,12}-|pscale_(?:tkn|oauth|pw)_|ph[cx]_)"
        r"[A-Za-z0-9_-]{20,}",
    ),
    _form("vendor-token", "r8_ atatt3 akcp", r"(?:r8_[A-Za-z0-9]{30,}|ATATT3[A-Za-z0-9_=-]{60,}|AKCp[A-Za-z0-9]{60,})"),
    _form("vendor-token", "dapi sbp_", r"(?:dapi|sbp_)[0-9a-f]{32,}"),
    _form("jwt", "eyj", r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*", not_after="_-"),
)

# ---------------------------------------------------------------------------------------------- context

_KEY_KIND: Final = r"(?:api|access|auth|secret|private|account|signing|encryption|master|service|client|admin)[_.-]?"
_TELLING_WORD: Final = (
    rf"pass(?:word|wd|phrase)|(?<=[_.])pass|pwd|secret|token|credentials?|authorization|{_KEY_KIND}key|dsn"
)
_STEM: Final = re.compile("passw|passphrase|(?<=[_.])pass|pwd|secret|token|credential|authorization|key|dsn")
_KEY_OF: Final = re.compile(_KEY_KIND + r"\Z")
_NAME: Final = re.compile(
    rf"(?i)(?P<word>{_TELLING_WORD})(?:_?[0-9]{{1,3}})?(?![A-Za-z0-9_-])(?P<quote>[\"']?\]?)"
    r"(?P<type>\s{0,4}:\s{0,4}[A-Za-z.|\[\] ]{1,40}(?=\s{0,4}=[^=>]))?"
    r"\s{0,8}(?P<mid>=>|:=|={1,3}|!={1,2}|:|,(?=\s{0,2}[\"']))[ \t]{0,8}"
    r"(?:[a-zA-Z]{0,2}\\{0,4}(?P<mark>[\"'`]{1,3})(?P<quoted>[^\"'`\n\r]{4,200})|(?P<bare>(?:[^\s\"'`,;(){}\[\]<>$&|\\]|\\(?![nrt\"'\\])){6,200}))"
)
_QUOTED_REST: Final = re.compile(r"[^\"'`\n\r]*")
_BARE_REST: Final = re.compile(r"(?:[^\s\"'`,;(){}\[\]<>$&|\\]|\\(?![nrt\"'\\]))*")
_ENV_LIKE: Final = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")
_CODE_LIKE: Final = re.compile(r"[A-Za-z_][\w-]*(?:(?:\.|::|->|/)[A-Za-z_][\w-]*)*[.:?!]?")
_PASSWORD_WORD: Final = re.compile(r"(?i)pass|pwd")


def _named_values(text: str) -> Iterator[Span]:
    """Values that stand beside a name which says that they are secret (`password = "…"`, `API_KEY: …`)."""
    position = 0
    for start in _telling_words(text):
        match = _NAME.match(text, start) if start >= position else None
        if match is None:
            continue
        # The value may itself begin with a name (`secret: token=…`), so go on right behind the word.
        position = match.end("word")
        which = "quoted" if match["quoted"] is not None else "bare"
        looks, rest = (_quoted_is_secret, _QUOTED_REST) if which == "quoted" else (_bare_is_secret, _BARE_REST)
        if not _STAND_IN.fullmatch(match[which]) and looks(match, match[which]):
            # Judged by its first 200 characters, replaced as a whole.
            tail = rest.match(text, match.end(which))
            position = tail.end() if tail else match.end(which)
            yield match.start(which), _unescaped(text, match.start(which), position), "named-secret"


def _telling_words(text: str) -> Iterator[int]:
    """Where a telling word may begin. A search for the plain stems first is fifteen times as fast as for `_NAME`."""
    low = lowered(text)
    for stem in _STEM.finditer(low):
        if stem[0] != "key":
            yield stem.start()
        elif before := _KEY_OF.search(low, max(0, stem.start() - 12), stem.start()):
            yield before.start()


def is_named_secret(name: str, value: str) -> bool:
    """Whether *value* is a secret because of the *name* it stands under (a member of a JSON object)."""
    return bool(_STEM.search(name.lower())) and any(_named_values(f'{name}="{value[:200]}"'))


def _quoted_is_secret(match: re.Match[str], value: str) -> bool:
    if _ENV_LIKE.fullmatch(value) or "${" in value or "{{" in value or value.startswith(("http://", "https://", "/")):
        return False
    if match["mid"] == "," and not (match["quote"] and any(map(str.isdigit, value)) and len(value) >= 8):
        return False
    if _PASSWORD_WORD.match(match["word"]):
        return value.count(" ") <= 3 and not (" " in value and value.endswith((".", ":", "!", "?")))
    if " " in value:
        return False
    return len(value) >= 8 and (any(char.isdigit() for char in value) or (len(value) >= 16 and _mixes_case(value)))


def _bare_is_secret(match: re.Match[str], value: str) -> bool:
    line_start = match.string.rfind("\n", 0, match.start()) + 1
    before = match.string[max(line_start, match.start() - 60) : match.end("word")]
    tight = match.string[match.end("word") : match.end("word") + 1] == "="
    if tight and re.fullmatch(r"\s*(?:export\s+|set\s+|[+>-]\s?)?[A-Z][A-Z0-9_]*", before):
        return not value.startswith(("/", "./"))
    digits = sum(map(str.isdigit, value))
    if match.string[match.end("bare") : match.end("bare") + 1] in ("(", "["):
        return False
    code = _CODE_LIKE.fullmatch(value)
    if _PASSWORD_WORD.match(match["word"]):
        plain_name = code and "-" not in value and (not digits or "." in value)
        return not value.isdigit() and not plain_name
    if code and (digits < 3 or len(value) < 12):
        return False
    return len(value) >= 8 and digits >= 2 and any(map(str.isalpha, value)) and not _is_location(value)


def _is_location(value: str) -> bool:
    return "://" in value or value.startswith(("/", "./", "~"))


def _mixes_case(value: str) -> bool:
    return value != value.lower() and value != value.upper()


CONTEXT_RULES: Final = (
    Rule(
        "database-login",
        ("identified",),
        re.compile(
            r"(?i)\bidentified\s{1,4}(?:with\s{1,4}\S{1,60}\s{1,4})?by\s{1,4}(?:password\s{1,4})?"
            r"[\"'](?P<secret>[^\"'\r\n]{4,200})[\"']"
        ),
        _is_no_placeholder,
    ),
    Rule(
        "database-login",
        ("mysql", "mariadb"),
        re.compile(r"(?:mysql|mariadb)[a-z-]{0,12}\s[^\r\n]{0,200}?\s-p(?P<secret>[^\s\"'$<-][^\s\"']{3,100})"),
        _has_digit,
    ),
    Rule(
        "url-password",
        ("://",),
        re.compile(r"://[^\s:/@\"'<>]{0,100}:(?P<secret>[^\s@\"'<>/]{1,200})@"),
        _is_no_placeholder,
    ),
    Rule("url-token", ("@",), re.compile(r"://(?P<secret>[A-Za-z0-9_-]{20,200})(?=@)"), _has_digit),
    Rule(
        "command-secret",
        ("--", "sshpass"),
        re.compile(
            r"(?:--[\w-]{0,30}(?:password|passwd|pass|token|secret|(?:api|access)-?key)(?:=|\s{1,4})|\bsshpass\s{1,4}-p\s{0,4})"
            r"[\"']?"
            r"(?P<secret>[^\s\"'$<>{}\[\](),;=-][^\s\"'$<>{}\[\](),;]{5,400})"
        ),
        _has_digit,
    ),
    Rule(
        "cookie",
        ("cookie",),
        re.compile(r"(?i)\bcookie:\s{0,4}(?P<secret>[\w.-]{1,80}=[^\r\n\"']{8,400})"),
        _has_digit,
    ),
    Rule(
        "stored-login",
        ("auth",),
        re.compile(r"auth\"\s{0,4}:\s{0,4}\"(?P<secret>[A-Za-z0-9+/_-]{8,400})=*\""),
        _decodes_to_login,
    ),
    Rule("bearer", ("bearer",), re.compile(r"(?i)\bbearer\s{1,4}(?P<secret>[A-Za-z0-9._~+/=-]{16,})"), _has_digit),
    Rule(
        "basic-login",
        ("basic",),
        re.compile(r"(?i)\bbasic\s{1,4}(?P<secret>[A-Za-z0-9+/_-]{8,400})=*"),
        _decodes_to_login,
    ),
    Rule(
        "authorization",
        ("authorization",),
        re.compile(
            r"(?i)authorization[\"']?\s{0,4}[:=]\s{0,4}[\"']?(?:basic|token|apikey|key)\s{1,4}(?P<secret>[^\s\"',;]{8,})"
        ),
        _has_digit,
    ),
    Rule(
        "netrc-password",
        ("login",),
        re.compile(
            r"\blogin\s{1,8}\S{1,200}\s{1,8}(?:account\s{1,8}\S{1,200}\s{1,8})?password\s{1,8}"
            r"(?P<secret>[^\s\"']{1,400})"
        ),
        _is_no_placeholder,
    ),
    Rule(
        "command-login",
        ("-u", "--user"),
        re.compile(
            r"(?<!\S)(?:-u|--user|--proxy-user)[ =]?[\"']?[^\s:\"'$-][^\s:\"']{0,100}:"
            r"(?P<secret>(?!\d+(?!\S))[^\s\"'$]{3,200})"
        ),
        _is_no_placeholder,
    ),
    Rule(
        "element-secret",
        ("</",),
        re.compile(
            r"(?i)<(?:[\w.:-]{0,40})(?:password|passwd|secret|token|apikey|api-key)>(?P<secret>[^<\s]{4,400})</"
        ),
        _is_no_placeholder,
    ),
)  # fmt: skip

# ---------------------------------------------------------------------------------------------- opaque runs

_OPAQUE: Final = re.compile(r"(?<=[\"'`=])[A-Za-z0-9_-]{32,128}(?=[\"'`\s]|$)", re.MULTILINE)
_ALONE: Final = re.compile(r"(?<!\S)(?!AAAA)[A-Za-z0-9_-]{28,128}(?!\S)")
_DIGEST_BEFORE: Final = re.compile(
    r"(?i)(?:sha-?\d{1,3}|md5|blake\w*|h1|etag|integrity|checksum|digest|hash|base64|nonce|fingerprint|key-?id|kid|uuid|guid|"
    r"public[_-]?key|rev(?:ision)?|commit|id)[\w-]{0,12}[\"']?\s{0,4}[=:,-]{0,2}\s{0,4}[\"'`]?$"
)


def _opaque_runs(text: str) -> Iterator[Span]:
    """Long random runs in quotes, behind `=` or between blanks, with no word before them that explains a digest.

    A run that is a whole line is left alone: so look the lines of certificates and of other encoded blocks.
    """
    for match in _ALONE.finditer(text):
        if not _is_line(text, match) and not _explained(text, match) and _looks_random(match[0]):
            yield match.start(), match.end(), "opaque"
    for match in _OPAQUE.finditer(text):
        before = text[match.start() - 1]
        after = text[match.end() : match.end() + 1]
        enclosed = before in "\"'`" and after == before
        assigned = before == "=" and not after.strip("\"'`")
        if (enclosed or assigned) and not _explained(text, match) and _looks_random(match[0]):
            yield match.start(), match.end(), "opaque"


def _explained(text: str, match: re.Match[str]) -> bool:
    return _DIGEST_BEFORE.search(text[max(0, match.start() - 40) : match.start()]) is not None


def _is_line(text: str, match: re.Match[str]) -> bool:
    before, after = text[max(0, match.start() - 40) : match.start()], text[match.end() : match.end() + 40]
    return not before.rpartition("\n")[2].strip() and not after.partition("\n")[0].strip()


def _looks_random(run: str) -> bool:
    """Random characters change between lower, upper and digit at six of ten steps; words do so at three."""
    classes = ["d" if char.isdigit() else "u" if char.isupper() else "l" if char.islower() else "-" for char in run]
    counts = Counter(classes)
    changes = sum(left != right for left, right in pairwise(classes))
    spread = len(set(run)) / min(len(run), 64)
    return min(counts["d"], counts["u"], counts["l"]) >= 3 and changes >= 0.45 * len(run) and spread >= 0.4


FORM_KINDS: Final = frozenset(rule.kind for rule in (*VENDOR_RULES, *CONTEXT_RULES)) | {"named-secret", "opaque"}
