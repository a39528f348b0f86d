"""Redaction: what is found, what survives, and that the lines stay where they are. Every secret here is synthetic."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import random
import string
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.policy.exposure import KINDS, PLACEHOLDER, Redactor, count_placeholders
from codex_oss.policy.held_values import held_in_environment

RANDOM = random.Random(7)
B62 = string.ascii_letters + string.digits


def drawn(length: int, alphabet: str = B62) -> str:
    """A synthetic random run that always has a digit, an upper and a lower letter near its start."""
    return ("a1B" + "".join(RANDOM.choice(alphabet) for _ in range(length)))[:length]


def upper(length: int) -> str:
    """A synthetic run of A–Z and 2–7."""
    return "".join(RANDOM.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") for _ in range(length))


BODY = "\n".join(base64.b64encode(RANDOM.randbytes(48)).decode() for _ in range(6))
MARK = "PRIVATE KEY-----"
KEY = f"-----BEGIN RSA {MARK}\n{BODY}\n-----END RSA {MARK}"

VENDOR = {
    "openai-key": [f"sk-{drawn(40)}", f"sk-proj-{drawn(60)}"],
    "anthropic-key": [f"sk-ant-api03-{drawn(60)}"],
    "github-token": [f"ghp_{drawn(36)}", f"github_pat_{drawn(22)}_{drawn(59)}"],
    "gitlab-token": [f"glpat-{drawn(20)}"],
    "slack-token": [f"xoxb-123456789012-1234567890123-{drawn(24)}"],
    "aws-key-id": [f"AKIA{upper(16)}"],
    "google-key": [f"AIza{drawn(35)}"],
    "stripe-key": [f"sk_live_{drawn(24)}", f"rk_test_{drawn(24)}"],
    "npm-token": [f"npm_{drawn(36)}"],
    "pypi-token": [f"pypi-AgEIcHlwaS5vcmc{drawn(60)}"],
    "jwt": [f"eyJ{drawn(20)}.eyJ{drawn(30)}.{drawn(43)}"],
    "twilio-key": ["SK" + hashlib.md5(b"x").hexdigest()],
    "sendgrid-key": [f"SG.{drawn(22)}.{drawn(43)}"],
    "huggingface-token": [f"hf_{drawn(34)}"],
}

CONTEXT = [
    ('password = "hunter2!"', "hunter2!"),
    ("password: correct-h0rse", "correct-h0rse"),
    ("DB_PASSWORD=hunterhunter", "hunterhunter"),
    ("export MY_API_KEY=abcdefgh1234", "abcdefgh1234"),
    ('"api_key": "abcd1234efgh5678"', "abcd1234efgh5678"),
    ("'client_secret': 'abcd1234efgh5678'", "abcd1234efgh5678"),
    ('token: str = "abcd1234efgh"', "abcd1234efgh"),
    ('password="two words9"', "two words9"),
    ("X-Api-Key: 9f8e7d6c5b4a", "9f8e7d6c5b4a"),
    ("Authorization: Bearer abcdef0123456789abcdef", "abcdef0123456789abcdef"),
    ("Authorization: Basic " + base64.b64encode(b"user:letmein99").decode(), "dXNlcjpsZXRtZWlu"),
    ("postgres://svc:pa55w.rd@db.example.com/x", "pa55w.rd"),
    ("https://ci:tok3nvalue@git.example.com/r.git", "tok3nvalue"),
    ("machine h login me password s3cr3tpw", "s3cr3tpw"),
    ("curl -u admin:s3cretpw https://x", "s3cretpw"),
    ("<password>s3cretpw</password>", "s3cretpw"),
    ("https://x/y?access_token=abc123def456ghi&z=1", "abc123def456ghi"),
    ("//registry.npmjs.org/:_authToken=0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9", "0a1b2c3d-4e5f"),
    ("aws_secret_access_key = " + "wJalr/XUtnFEMI+K7MDENGbPxRfiCYab1cd2EF3g", "wJalr/XUtn"),
    ("password: hunter2", "hunter2"),
    ("tool --password=i59lOtd4ql", "i59lOtd4ql"),
    ("tool --token 7CekLovBiE6Nfx", "7CekLovBiE6Nfx"),
    ("jdbc:mysql://h/db?user=a&password=FW85ZTCBY7", "FW85ZTCBY7"),
    ("Server=x;User Id=sa;Password=WAyOger8Ht;", "WAyOger8Ht"),
    ("https://0123456789abcdef0123456789abcdef@o1.example.com/45", "0123456789abcdef"),
    ("Set-Cookie: sid=6J8R6o2nZZOHMBTE9kMw; HttpOnly", "6J8R6o2nZZ"),
    ('"auth": "' + base64.b64encode(b"user:9HU7aoy6RYgY").decode() + '"', "dXNlcjo5SFU3"),
    ("sshpass -p XGt1CqGqOl ssh x", "XGt1CqGqOl"),
    ('props.setProperty("db.password", "s3cretpw")', "s3cretpw"),
    (f'value = "{drawn(40)}"', None),
]

SURVIVES = [
    "task-0123456789abcdef01234567 and risk-0123456789abcdef01234567",
    "sk-", "sk-1", "the prefix sk- alone", "total_tokens: 123456789", '"max_tokens": 4096,',
    "commit " + hashlib.sha1(b"x").hexdigest(), "'" + hashlib.sha256(b"x").hexdigest() + "'",
    "123e4567-e89b-12d3-a456-426614174000",
    '"integrity": "sha512-' + base64.b64encode(hashlib.sha512(b"x").digest()).decode() + '"',
    "golang.org/x/mod v0.1.0 h1:" + base64.b64encode(hashlib.sha256(b"x").digest()).decode(),
    'src="data:image/png;base64,' + base64.b64encode(bytes(range(256))).decode() + '"',
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + drawn(43) + " me@host",
    "-----BEGIN PUBLIC KEY-----\n" + BODY + "\n-----END PUBLIC KEY-----",
    "-----BEGIN CERTIFICATE-----\n" + BODY + "\n-----END CERTIFICATE-----",
    f'if text.startswith("-----BEGIN {MARK}"):\n    return None',
    "token = next_token()", "token = tokens[index]", "password: str", "password = None", "secret = os.environ[NAME]",
    "password=self.password", 'password = "<password>"', "API_KEY=${API_KEY}", 'key_env = "OPENCODE_GO_API_KEY"',
    'API_KEY = "OPENCODE_GO_API_KEY"', "password = getpass.getpass()", "secrets: inherit", "def token(self) -> Token:",
    "https://example.com/a:b/c@d", "docker run -u 1000:1000 x", "bearer of good news and more", "basic understanding",
    '"getUserByIdAndUpdateProfileForTenant"', "the password: it must be changed", "token_endpoint = https://x.example",
    'namedtuple("BasicAuth", ["login", "password", "encoding"])', "scrypt(password, 'salt', 24)",
    "auth_token = base64.b64decode(value)", "tool --passthrough1 --token-file=a1b2c3d4", "cookie: the biscuit",
]  # fmt: skip


@pytest.mark.parametrize(("kind", "secret"), [(kind, one) for kind, many in VENDOR.items() for one in many])
def test_vendor_forms_are_found_and_named(kind: str, secret: str) -> None:
    """A vendor's token is replaced as a whole, by a placeholder of its kind, wherever it stands."""
    for text in (secret, f"x {secret}, y", f"'{secret}'", f"\t({secret})\n"):
        redacted = Redactor().redact(text)
        assert redacted.text == text.replace(secret, f"[REDACTED:{kind}]")
        assert redacted.kinds == (kind,)
        assert redacted.count == 1


@pytest.mark.parametrize(("text", "secret"), CONTEXT)
def test_values_beside_a_telling_word_are_found(text: str, secret: str | None) -> None:
    """The value goes, the word that names it stays."""
    redacted = Redactor().redact(text)
    assert redacted.count >= 1
    assert (secret or text.split('"')[1]) not in redacted.text
    assert redacted.text.startswith(text[:5])


@pytest.mark.parametrize("text", SURVIVES)
def test_hard_negatives_survive(text: str) -> None:
    """Digests, ids, public keys, code and stand-ins are evidence, not secrets."""
    assert Redactor().redact(text).text == text


@pytest.mark.parametrize("held", ["hunter-two-9", "pä55wörd/with?signs&=", 'quo"te\\back/slash', "x" * 64])
def test_held_values_are_found_in_every_spelling(held: str) -> None:
    """Values that this process holds are found plain, encoded, escaped, and inside a longer base64 text."""
    redactor = Redactor([held])
    data = held.encode()
    escapes = "".join(f"\\u{ord(char):04x}" for char in held)
    forms = [
        escapes, "".join(f"%{byte:02x}" for byte in data), data.hex(":").upper(), html.escape(held),
        json.dumps(json.dumps({"k": held})), data.hex().title(), "ü " + data.hex().upper(),
        held, json.dumps(held)[1:-1], json.dumps(held, ensure_ascii=False)[1:-1], quote(held, safe=""), quote(held),
        data.hex(), data.hex().upper(), base64.b64encode(data).decode(), base64.urlsafe_b64encode(data).decode(),
        base64.b64encode(b"user:" + data).decode(), base64.b64encode(b"us:" + data + b"tail").decode(),
        base64.b64encode(b"x" + data + b"tail").decode(),
    ]  # fmt: skip
    for form in forms:
        for text in (form, f"a {form} b"):
            redacted = redactor.redact(text)
            assert "held" in redacted.kinds, form
            assert held not in redacted.text


@given(st.text(max_size=20), st.text(max_size=20), st.integers(0, 2))
def test_a_held_value_within_any_base64_text_is_found(before: str, after: str, alphabet: int) -> None:
    """Wherever the value stands in what was encoded, and in whichever alphabet, no run of it can be decoded again."""
    held = "s3cr3t-Value/with+every?kind~of=char"
    data = (before + held + after).encode("utf-8", "surrogatepass")
    encoded = (base64.b64encode, base64.urlsafe_b64encode, lambda data: base64.b64encode(data).rstrip(b"="))[alphabet](
        data
    )
    shown = Redactor([held]).redact(f"x {encoded.decode()} y").text
    assert "[REDACTED:held]" in shown
    assert len(encoded) - len(shown.replace("[REDACTED:held]", "")) + 4 >= len(held) * 4 // 3 - 6


@given(st.integers(0, 39), st.integers(0, 39))
def test_a_held_value_that_was_cut_is_found(start: int, end: int) -> None:
    """What is left of a value at either edge of a text goes too, as long as it is more than a word's length."""
    held = "kJ8s0-dkEw92lqZpTx71-mNbVcXyU34-aSdFgH56"
    redactor = Redactor([held])
    if len(held) - start >= 10:
        assert redactor.redact(held[start:] + " said the server").text == "[REDACTED:held] said the server"
    if end >= 10:
        assert redactor.redact("the key is " + held[:end]).text == "the key is [REDACTED:held]"


def test_a_rotated_key_stays_redacted() -> None:
    """A value that is held later is replaced from then on, and the one before it still is."""
    old, new = "first-key-of-the-month", "second-key-of-the-month"
    redactor = Redactor([old])
    assert redactor.redact(new).text == new
    redactor.hold(new)
    assert redactor.redact(f"{old} {new} {new.encode().hex()}").text == " ".join(["[REDACTED:held]"] * 3)


def test_secret_variables_of_the_environment_are_held() -> None:
    """Named like a secret and shaped like one: held. Paths, switches and plain words are not."""
    environ = {
        "DEPLOY_TOKEN": "a1b2c3d4e5f6g7", "DB_PASSWORD": "correct-horse-9", "SSH_AUTH_SOCK": "/run/user/1000/agent.1",
        "TOKENIZERS_PARALLELISM": "false-but-long-1", "KEYBOARD_KEY": "us", "MONKEY": "banana-republic",
        "PATH": "/bin:/usr/bin1",
        "GOOGLE_APPLICATION_CREDENTIALS": "~/key-file-number-1.json", "PWD": "/home/user1/projects",
    }  # fmt: skip
    assert held_in_environment(environ) == ["a1b2c3d4e5f6g7", "correct-horse-9"]


@pytest.mark.parametrize("name", ["password", "api_key", "X-Auth-Token", "client_secret"])
def test_the_name_of_a_member_is_context(name: str) -> None:
    """A JSON object loses its secret values as its text would; other members stay."""
    value = {"outer": [{name: "kT93-mmq2-xx81", "token_budget": 12, "note": "kT93 was fine", "token": "<token>"}]}
    shown = Redactor().redact_value(value)["outer"][0]
    assert shown == {name: "[REDACTED:named-secret]", "token_budget": 12, "note": "kT93 was fine", "token": "<token>"}


def test_short_or_empty_held_values_are_ignored() -> None:
    """A held value that would hit ordinary words is not looked for."""
    assert Redactor(["", "a", "true"]).redact("a true story").text == "a true story"


@pytest.mark.parametrize("indent", ["", "    ", "> ", "| "])
@pytest.mark.parametrize("ended", [True, False])
def test_a_private_key_goes_as_a_block_and_keeps_its_lines(indent: str, ended: bool) -> None:
    """Every line of a key is replaced, also without its end line; the lines around it stay at their numbers."""
    key = KEY if ended else KEY.rsplit("\n", 1)[0]
    text = "before: 1\n" + "\n".join(indent + line for line in key.split("\n")) + "\n\nafter: the key.\n"
    redacted = Redactor().redact(text)
    lines, shown = text.split("\n"), redacted.text.split("\n")
    assert len(shown) == len(lines)
    assert (shown[0], shown[-2]) == (lines[0], lines[-2])
    assert redacted.kinds == ("private-key",)
    for line in BODY.split("\n"):
        assert line not in redacted.text


def test_a_key_in_one_line_and_the_tail_of_a_key_are_found() -> None:
    """Escaped line ends, and a text that begins in the middle of a key, hide nothing."""
    escaped = json.dumps({"key": KEY})
    assert BODY.split("\n")[2] not in Redactor().redact(escaped).text
    tail = KEY.split("\n", 3)[3]
    shown = Redactor().redact(tail).text
    assert shown.count("\n") == tail.count("\n")
    assert not any(line in shown for line in tail.split("\n"))


@given(st.text(max_size=300), st.sampled_from([*(one for many in VENDOR.values() for one in many), KEY, CONTEXT[0][0]]))
def test_redaction_is_idempotent_and_keeps_every_line_end(noise: str, secret: str) -> None:
    """Redacting again changes nothing; the sequence of line ends is the same before and after."""
    redactor = Redactor(["held-value-1"])
    text = f"{noise[:150]}{secret}{noise[150:]}held-value-1"
    once = redactor.redact(text)
    again = redactor.redact(once.text)
    assert (again.text, again.count) == (once.text, 0)
    assert len(once.text.splitlines()) == len(text.splitlines())
    ends = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
    assert [char for char in once.text if char in ends] == [char for char in text if char in ends]
    assert "held-value-1" not in once.text


TOKENS = ["sk-", "token", "=", ":", '"', "'", " ", "\n", "a1B2c3D4", "AKIA", "-----BEGIN ", MARK, "-----END ", "eyJ",
          ".", "://", "@", "[REDACTED:held]", "[REDACTED:", "]", "password", "Bearer ", "-u ", "x", "/"]  # fmt: skip


@given(st.lists(st.sampled_from(TOKENS), max_size=60).map("".join))
def test_redaction_is_idempotent_on_pieces_of_secrets(text: str) -> None:
    """Fragments of secret syntax in any order: a second pass finds nothing, and no line moves."""
    once = Redactor().redact(text)
    assert Redactor().redact(once.text).text == once.text
    assert once.text.count("\n") == text.count("\n")


SECRETS = [*(one for many in VENDOR.values() for one in many), KEY, *(text for text, _ in CONTEXT)]


@given(st.dictionaries(st.sampled_from(["password", "x"]), st.lists(st.sampled_from([*TOKENS, *SECRETS]), max_size=12)))
def test_redacted_json_is_still_json(parts: dict[str, list[str]]) -> None:
    """A model's answer is redacted before it is parsed: no quote and no escape of its own is swallowed."""
    text = json.dumps({name: "".join(texts) for name, texts in parts.items()})
    assert set(json.loads(Redactor(["held-value-1"]).redact(text).text)) == set(parts)


def test_a_forged_placeholder_hides_nothing() -> None:
    """Only our own kinds count as placeholders; a secret in a look-alike is replaced."""
    secret = f"ghp_{drawn(36)}"
    assert secret not in Redactor().redact(f"[REDACTED:{secret}]").text
    assert Redactor(["private-key"]).redact("[REDACTED:private-key]").text == "[REDACTED:private-key]"


def test_placeholders_are_counted() -> None:
    """Every kind makes a placeholder that is recognised as one."""
    assert count_placeholders("".join(f"[REDACTED:{kind}]" for kind in KINDS)) == len(KINDS)
    assert not PLACEHOLDER.search("[REDACTED:other]")


@pytest.mark.parametrize(
    "piece",
    ["sk-", "sk-a", "eyJ", "eyJaaaaaaaa.", "token:", "token=", "password = ", 'secret="', "://a:", "-u a:", "login a ",
     f"-----BEGIN {MARK}", f"-----BEGIN {MARK}\n", f"-----END {MARK}\n", "a1B", "=a1B2", "Bearer ", "<token>",
     "basic aaaaaaaa",     "A" * 61 + "\n", "xoxb-a-", "hf_", "[REDACTED:held]", "[REDACTED:", "\n", "é", "--token ",
     "cookie: a=", 'auth":"', "://aaaaaaaaaaaaaaaaaaaaa"],
)  # fmt: skip
def test_a_hostile_megabyte_is_answered(piece: str) -> None:
    """No rule backtracks: a megabyte of any provoking piece comes back within the ordinary test timeout."""
    text = piece * (1_000_000 // len(piece))
    assert Redactor(["held-value-1"]).redact(text).text.count("\n") == text.count("\n")


def test_a_key_in_a_file_name_is_found() -> None:
    """An underscore before a vendor form hides nothing."""
    for kind in ("github-token", "openai-key", "stripe-key", "slack-token"):
        assert VENDOR[kind][0] not in Redactor().redact(f"app/backup_{VENDOR[kind][0]}.py").text


@pytest.mark.timeout(20)
@pytest.mark.parametrize("text", ["sk-a_", "_sk-", "_eyJaaaaaaaa", "_M", "glpat-a_", "_xoxb-a", "_AIza"])
def test_beginnings_of_keys_in_a_row_cost_no_squares(text: str) -> None:
    """A line of half keys is read in a moment, not in minutes."""
    Redactor().redact(text * 60_000)
